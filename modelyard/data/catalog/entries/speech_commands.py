"""Speech Commands: single spoken words."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url


def convert(raw: Path, out: Path) -> None:
    """A folder a split, in it a folder a word. Two lists name the validation and test files; the rest is training."""
    places = {
        name: split
        for split, listing in (("validation", "validation_list.txt"), ("test", "testing_list.txt"))
        for name in (raw / listing).read_text("ascii").split()
    }
    for path in sorted(raw.glob("[!_]*/*.wav")):
        name = path.relative_to(raw).as_posix()
        target = out / places.get(name, "train") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


ENTRY = Entry(
    name="speech_commands",
    title="Speech Commands v0.02",
    description="One spoken word of 35, by thousands of people: tell the word.",
    task="classification",
    rows={"train": 84_843, "validation": 9_981, "test": 11_005},
    columns={"audio": "up to a second of sound, 16 kHz, 16 bit, WAV", "label": "the word: the folder's name"},
    files={"train": "train", "validation": "validation", "test": "test"},
    licence="CC BY 4.0",
    publisher="Pete Warden, Google",
    reference="Warden, Speech Commands, arXiv:1804.03209, 2018",
    download_bytes=2_428_923_189,
    expanded_limit=6 << 30,
    origins=(
        Url(
            urls={
                "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz": (
                    "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
                )
            },
            take=("*/*.wav", "validation_list.txt", "testing_list.txt"),
        ),
    ),
    notes=("One speaker's recordings are all in one split. The background noise recordings are left out.",),
    convert=convert,
)
