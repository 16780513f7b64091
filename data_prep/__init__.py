"""Writes photos as TFRecords, with a verb for each kind of source (`flowers`, `imagenet`, `image_folder`)."""
