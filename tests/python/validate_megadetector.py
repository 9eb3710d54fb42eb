"""MegaDetector's own validator of its batch format on FILE.json, whose paths are below FOLDER; errors and warnings as JSON.

Usage: validate_megadetector.py FILE.json FOLDER
"""

import contextlib
import io
import json
import sys
import types

# The validator asks it one thing; it would bring OpenCV.
video = types.ModuleType("megadetector.detection.video_utils")
video.is_video_file = lambda name: name.lower().endswith((".mp4", ".avi", ".mov", ".mkv"))
sys.modules[video.__name__] = video

from megadetector.postprocessing.validate_batch_results import (  # noqa: E402
    ValidateBatchResultsOptions,
    validate_batch_results,
)

options = ValidateBatchResultsOptions()
options.check_image_existence = True
options.relative_path_base = sys.argv[2]
with contextlib.redirect_stdout(io.StringIO()):
    results = validate_batch_results(sys.argv[1], options)["validation_results"]
print(json.dumps({"errors": results["errors"], "warnings": results["warnings"]}))
