"""Update the index of a folder with captions made of the file names, and note every file that is captioned.

    update_index.py FOLDER CHECKPOINT LOG [ANSWERS]

With ANSWERS the process is killed after so many captions. Files that are captioned take a moment, so that two processes
meet.
"""

import os
import signal
import sys
import time
from pathlib import Path

from companion.apps import PictureIndex, index
from tests.captioners import captions_of_names

folder, checkpoint, log = map(Path, sys.argv[1:4])
limit = int(sys.argv[4]) if len(sys.argv) > 4 else None


def caption_files(captioner, paths):
    for i, answer in enumerate(captions_of_names(captioner, paths)):
        if i == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        with log.open("a") as file:
            file.write(f"{answer[0].name}\n")
        time.sleep(0.05)
        yield answer


index.caption_files = caption_files  # type: ignore[assignment]
with PictureIndex(folder) as opened:
    print(*opened.update(checkpoint, report=lambda line: print(line, file=sys.stderr)))
