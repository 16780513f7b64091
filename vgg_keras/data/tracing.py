"""Has TensorFlow trace the functions of input pipelines as they are written."""

import tensorflow as tf

# By default, AutoGraph reads the source of such a function, and of all that it calls, and rewrites its `if` and `for`
# for tensors. The functions of this package have none that depend on a tensor, but `tf.cond` and `tf.while_loop`.
# Without the rewriting, the pipeline of a training epoch is made in a third of the time, with the same operations.
# For the same reason, the compiled functions of training, tests and serving are given `autograph=False`.
as_written = tf.autograph.experimental.do_not_convert
