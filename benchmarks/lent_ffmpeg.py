"""torchcodec needs FFmpeg: it is lent the shared libraries in PyAV's wheel, and so runs the same libavcodec as the others."""

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import av
from measuring import absent

LENT = "REELVEC_BENCH_FFMPEG"


def lend_ffmpeg() -> None:
    """Start this script again with the FFmpeg libraries of PyAV's wheel under the names that torchcodec looks for."""
    wheel = Path(av.__file__).parent.with_name("av.libs")
    if LENT in os.environ:
        atexit.register(shutil.rmtree, os.environ[LENT], ignore_errors=True)
    elif wheel.is_dir() and not absent(["torchcodec"]):
        folder = tempfile.mkdtemp()
        for library in wheel.iterdir():
            if named := re.match(r"(lib(?:av|sw)[a-z]+)-\w+(\.so\.\d+)\.", library.name):
                (Path(folder) / f"{named[1]}{named[2]}").symlink_to(library)
        paths = [folder, str(wheel), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        environment = os.environ | {LENT: folder, "LD_LIBRARY_PATH": os.pathsep.join(paths)}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
