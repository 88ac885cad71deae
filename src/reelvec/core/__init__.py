"""The words of reelvec. This room imports no other."""

from reelvec.core.batch import Batch, Clips
from reelvec.core.config import Config
from reelvec.core.draws import Draws, sample_generator
from reelvec.core.encoder import Encoder, EncoderCard
from reelvec.core.errors import ReelvecError
from reelvec.core.method import Method
from reelvec.core.needs import Needs, Stream, StreamNeed, Times
from reelvec.core.planes import PlaneClips
from reelvec.core.progress import Progress
from reelvec.core.run_folder import RunFolder, write_json, write_whole

__all__ = [
    "Batch",
    "Clips",
    "Config",
    "Draws",
    "Encoder",
    "EncoderCard",
    "Method",
    "Needs",
    "PlaneClips",
    "Progress",
    "ReelvecError",
    "RunFolder",
    "Stream",
    "StreamNeed",
    "Times",
    "sample_generator",
    "write_json",
    "write_whole",
]
