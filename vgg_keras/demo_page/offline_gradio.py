"""Imports Gradio with all that it would tell other hosts, or keep of what users do, turned off."""

import os
from types import ModuleType

from vgg_keras.utils.optional_imports import import_extra

# Gradio and Hugging Face's hub, which Gradio imports, read these when they are imported or later.
_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
# Where Gradio keeps the photos that it is given.
FOLDER = "GRADIO_TEMP_DIR"


def load() -> ModuleType:
    """Returns Gradio.

    Raises:
        UserError: it is not installed; the message holds the command that installs it.
    """
    os.environ.update(_SETTINGS)
    (gradio,) = import_extra(["gradio"], "demo", "the demo")
    return gradio
