"""How far two models say the same."""

import dataclasses

import numpy as np

# Largest difference in posterior between a model and what was made of it. In float32 both compute the same along
# different paths; 1e-4 is far above their rounding and far below anything that changes a decision. bfloat16 has three
# decimal digits.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a model says what its source says.

    Attributes:
        num_photos: on how many photos they were compared.
        same_top1: on how many of them the best class is the same.
        largest_difference: in posterior.
    """

    num_photos: int
    same_top1: int
    largest_difference: float

    @classmethod
    def of(cls, answers: np.ndarray, expected: np.ndarray) -> "Agreement":
        """Compares posteriors: (N, classes) each."""
        same = answers.argmax(axis=1) == expected.argmax(axis=1)
        return cls(len(answers), int(same.sum()), float(np.abs(answers - expected).max()))

    def __str__(self) -> str:
        return (
            f"{self.same_top1} of {self.num_photos} photos get the same best class; "
            f"posteriors differ by {self.largest_difference:.1e} at most"
        )
