"""Names the ways in which images are prepared for a net, in training, in validation and inside the model."""

# What a training image is cut to: a crop of the photo rescaled to S (arXiv:1409.1556, sect. 3.1), or a window of random
# area and shape, resized.
RANDOM, RANDOM_RESIZED = "random", "random_resized"
CROPS = (RANDOM, RANDOM_RESIZED)

# How a photo is resized for validation: keeping its shape (sect. 3.2), or to the net's input whatever its shape.
ISOTROPIC, SQUASH = "isotropic", "squash"
RESIZES = (ISOTROPIC, SQUASH)

# What the first layer does to RGB 0..255: it subtracts the training set's mean (sect. 2.1), or gives
# (x/255 - 0.5) / 0.5.
MEAN, MINUS_ONE_TO_ONE = "mean", "minus_one_to_one"
INPUT_SCALINGS = (MEAN, MINUS_ONE_TO_ONE)
