"""Tests the names of ImageNet's classes."""

from vgg_keras.data import imagenet


def test_synsets():
    synsets = imagenet.synsets()
    assert len(synsets) == 1000
    assert synsets[0] == ("n01440764", "tench, Tinca tinca")
    assert synsets[999][0] == "n15075141"
    assert [synset for synset, _ in synsets] == sorted(synset for synset, _ in synsets)


def test_nobody_changes_the_list_for_others():
    imagenet.synsets().clear()
    assert len(imagenet.synsets()) == 1000


def test_label_names_are_short_and_different():
    names = imagenet.label_names()
    assert len({name.lower() for name in names}) == 1000
    # Indices and first words as the published lists have them.
    known = {0: "tench", 1: "goldfish", 207: "golden retriever", 281: "tabby", 817: "sports car", 999: "toilet tissue"}
    assert {index: names[index] for index in known} == known


def test_classes_with_the_same_first_word_stay_apart():
    names = imagenet.label_names()
    # 133 and 135 are birds (bittern, limpkin); 516 and 518 are things (cradle, crash helmet).
    assert names[133:136] == ["bittern", "crane (bird)", "limpkin"]
    assert names[516:519] == ["cradle", "crane (machine)", "crash helmet"]
    assert names[638:640] == ["maillot", "maillot, tank suit"]
    # A dog and a jacket.
    assert (names[264], names[474]) == ("Cardigan, Cardigan Welsh corgi", "cardigan")
    # No other name needs a comma or brackets.
    assert [index for index, name in enumerate(names) if "," in name or "(" in name] == [134, 264, 517, 639]
