"""One file of cards, as fairseq2 and as resolverd read it: alike, or the difference in words.

Where fairseq2 refuses a file, resolverd must name the same fault. The table maps what fairseq2 says
to the codes of resolverd's problems; what is not in it is no known refusal.
"""

from __future__ import annotations

import re
import warnings

from ruamel.yaml import YAML

from tests.fairseq2.exact import tree

# What the file loader itself objects to, by its words.
_LOADER = [
    (r"is expected to be of type `<class 'dict'>`", "not-a-mapping"),
    (r"^Asset at index \d+ in .* does not have a name\.$", "no-name"),
    (r"^Name of the asset at index \d+ in .* is expected to be of type", "name-type"),
    (r"^Asset at index \d+ in .* does not have a valid name\.$", "name-invalid"),
    (r"^Base name of the asset at index \d+ in .* is expected to be of type", "base-type"),
    (r"^Asset at index \d+ in .* does not have a valid base name\.$", "base-invalid"),
]
# What YAML or a value's constructor objects to, by the exception underneath.
_YAML = {
    "DuplicateKeyError": "duplicate-key",
    "ReaderError": "bad-character",
    "ScannerError": "bad-yaml",
    "ParserError": "bad-yaml",
    "ComposerError": "bad-yaml",
    "ConstructorError": "bad-yaml",
    "UnicodeDecodeError": "encoding",
    "RecursionError": "too-deep",
    # These are not translated by fairseq2: they end the process.
    "AssertionError": "bad-value",
    "AttributeError": "bad-value",
    "IndexError": "bad-value",
    "KeyError": "bad-value",
    "OverflowError": "bad-value",
    "TypeError": "bad-value",
    "UnicodeEncodeError": "bad-value",
    "ValueError": "bad-value",
}
# Faults of the text: fairseq2 meets one before it looks at any document of the file.
TEXT_FAULTS = {"duplicate-key", "bad-character", "bad-yaml", "encoding", "too-deep", "bad-value"}


def code_of(refusal):
    """The code of resolverd's problem for what fairseq2 refuses."""
    kind, message = refusal[0]
    if kind != "AssetMetadataError":
        return _YAML[kind]
    if len(refusal) > 1:
        return _YAML[refusal[1][0]]
    (code,) = [code for pattern, code in _LOADER if re.search(pattern, message, re.DOTALL)]
    return code


def index_of(refusal):
    """Which document of the file fairseq2 names, if it does."""
    found = re.match(r".*?at index (\d+) in ", refusal[0][1], re.DOTALL)
    return int(found[1]) if found else None


def line_of(refusal):
    """Which line fairseq2 names last, that of the fault itself, if it does."""
    lines = re.findall(r'^  in ".*", line (\d+), column \d+', refusal[-1][1], re.MULTILINE)
    return int(lines[-1]) if lines else None


def words_of(refusal):
    """What fairseq2 says about a fault of the text, without places and later advice."""
    said = re.split(r'^  in ".*$', refusal[-1][1], flags=re.MULTILINE)
    words = said if len(said) == 1 else said[:-1]
    return [cut_off(line.strip()) for part in words for line in part.splitlines()]


def cut_off(text):
    """``text`` in one wording: resolverd, reading each document by itself, meets an end sooner."""
    text = text.replace("unexpected document separator", "unexpected end of stream")
    return text.replace("'<document start>'", "'<stream end>'")


def cards_of(parsed):
    """What resolverd reads from a file, in the form of the oracle's answer."""
    return [[tree(card.name)[1], tree(card.fields)] for card in parsed.cards]


def holds_itself(data):
    """Whether in some document a collection is part of itself, which resolverd refuses to serve."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    parts = [text, *re.split("^---", text, flags=re.MULTILINE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return "*" in text and any(_holds_itself(part) for part in parts)


def _holds_itself(text):
    try:
        return any(_below(root, ()) for root in YAML(typ="safe", pure=True).compose_all(text))
    except Exception:  # noqa: BLE001 - this text is refused for another fault
        return False


def _below(node, above):
    if id(node) in above:
        return True
    if isinstance(node.value, str):
        return False
    children = [each for item in node.value for each in (item if type(item) is tuple else (item,))]
    return any(_below(child, (*above, id(node))) for child in children)
