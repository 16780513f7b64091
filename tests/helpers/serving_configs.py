"""Reads configurations of TensorFlow Serving whose messages `tensorflow-serving-api` lacks.

The messages are those of session_bundle_config.proto and monitoring_config.proto of TensorFlow Serving.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

_WRAPPED, _TEXT, _TRUTH, _WHOLE = ".google.protobuf.Int64Value", 9, 8, 3
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, _WRAPPED),
        "batch_timeout_micros": (2, _WRAPPED),
        "max_enqueued_batches": (3, _WRAPPED),
        "num_batch_threads": (4, _WRAPPED),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, _WHOLE),
        "pad_variable_length_inputs": (7, _TRUTH),
    },
    "PrometheusConfig": {"enable": (1, _TRUTH), "path": (2, _TEXT)},
    "MonitoringConfig": {"prometheus_config": (1, ".serving_configs.PrometheusConfig")},
}


def _describe():
    file = descriptor_pb2.FileDescriptorProto(name="serving_configs.proto", package="serving_configs", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = 3 if field == "allowed_batch_sizes" else 1  # repeated, or one
            described = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                described.type, described.type_name = 11, kind
            else:
                described.type = kind
    return file


def parse(name, text):
    """Parses a text as a message of TensorFlow Serving; raises a `text_format.ParseError` if it is none."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName("serving_configs.proto")
    except KeyError:
        pool.Add(_describe()) if hasattr(pool, "Add") else pool.AddSerializedFile(_describe().SerializeToString())
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"serving_configs.{name}"))()
    return text_format.Parse(text, message)
