"""Holds the package's version, which can be imported without TensorFlow."""

__version__ = "0.1.0"
