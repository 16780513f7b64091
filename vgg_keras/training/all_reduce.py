"""Sums the gradients of all devices (arXiv:1409.1556, sect. 3.3).

Net D has 553 MB of gradients. They travel in packs, from the last layer to the first, so that those of the fully
connected layers, nine tenths of all, are on their way while the gradients of the convolutions are computed. The
optimizers of Keras would send all in one pack, which begins when the last gradient is there.
"""

from collections.abc import Sequence

import tensorflow as tf

# A pack ends with the gradient that makes it larger than this; 0: there is one pack. One as large takes 27 ms at 10
# Gbit/s, far longer than the delay of a message, which each pack costs once for each device.
BYTES_PER_PACK = 32 << 20


def sum_over_devices(gradients: Sequence[tf.Tensor], dtype: str = "float32") -> list[tf.Tensor]:
    """Returns the sums of the gradients of all devices, the same on each; call it where one device's work is defined.

    Args:
        gradients: gradients of this device, in the order of the layers.
        dtype: "float32", or "bfloat16" to send half as many bytes: each gradient, and each sum on its way, is rounded
            to 8 significant bits.

    Returns:
        The sums, in the dtypes of the gradients.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return list(gradients)
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BYTES_PER_PACK)
    sent = [tf.cast(gradient, dtype) for gradient in gradients]
    sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, sent, options)
    return [tf.cast(total, gradient.dtype) for total, gradient in zip(sums, gradients, strict=True)]
