"""Names the classifiers that chose the classes for localizers (arXiv:1409.1556, app. A.2); needs no TensorFlow."""

from collections.abc import Iterable, Mapping
from typing import Any

from vgg_keras.evaluation.records import known_classifiers
from vgg_keras.inference.protocol import SCORES

# What tells the classifiers of one result from those of all others.
Classifiers = tuple[str, ...]


def classifiers_of(record: Mapping[str, Any]) -> Classifiers:
    """Returns what tells the classifiers of a result from others, wherever their files are; (): the class was known.

    Args:
        record: the result, as `records.read_results` has it.
    """
    return tuple(known_classifiers(record.get("classifiers", [])))


def name_classifiers(records: Iterable[Mapping[str, Any]]) -> dict[Classifiers, str]:
    """Names the classifiers of results, as briefly as tells them apart: by paths, SHA-256, and how they were tested.

    Args:
        records: results of localizers, the oldest first; classifiers that were moved have their newest paths.

    Returns:
        Different names of different classifiers; empty if all results that have classifiers have the same.
    """
    described = {key: record["classifiers"] for record in records if (key := classifiers_of(record))}
    if len(described) < 2:
        return {}
    names: dict[Classifiers, str] = {}
    for with_how in (False, True):
        for with_hash in (False, True):
            names = {
                key: " + ".join(sorted(_name(one, with_how=with_how, with_hash=with_hash) for one in classifiers))
                for key, classifiers in described.items()
            }
            if len(set(names.values())) == len(names):
                return names
    return {key: f"{name}, no. {number}" for number, (key, name) in enumerate(names.items(), 1)}


def how_tested(model: Mapping[str, Any]) -> str:
    """Returns how a localizer or a classifier was shown the photos, as far as its description tells it."""
    methods = " and ".join(model.get("methods") or filter(None, [model.get("method")]))
    return f"{methods}{', with mirror images' if model.get('flip') else ''}" if methods else ""


def _name(classifier: Mapping[str, Any], *, with_how: bool, with_hash: bool) -> str:
    scales = ", ".join(map(str, classifier.get("test_scales", ())))
    average = classifier.get("average", SCORES)
    how = [how_tested(classifier), f"Q = {scales}" if scales else "", "" if average == SCORES else f"mean of {average}"]
    name = classifier.get("path", "?")
    name += f" [{classifier.get('sha256', '?')[:12]}]" if with_hash else ""
    return name + (f" ({', '.join(filter(None, how))})" if with_how and any(how) else "")
