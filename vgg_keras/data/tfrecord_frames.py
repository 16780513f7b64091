"""Tells how a TFRecord file holds a record: its length, the length's checksum, the record, and the record's checksum.

Worker processes use this module, so it imports no TensorFlow.
"""

import struct

# The length in front of each record, in bytes: 64 bits, the lowest byte first.
LENGTH = struct.Struct("<Q")
# Bytes of a record in its file beside its content: the length, and two checksums of four bytes.
FRAME_BYTES = LENGTH.size + 4 + 4
