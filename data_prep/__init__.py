"""Photos -> TFRecords: one writer, and a verb for each kind of source (`flowers`, `imagenet`, `image_folder`)."""
