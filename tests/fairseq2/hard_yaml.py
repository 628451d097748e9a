"""Generated files of cards, made of all that YAML libraries are known to disagree about."""

from __future__ import annotations

import random

from hypothesis import strategies as st

# Scalars whose meaning differs between YAML 1.1, 1.2 and their many readers.
DISPUTED = """
yes Yes NO on Off y N true True TRUE tRUE false null Null NULL nULL ~ ~~ 0 00 -0 +0 010 08 0o10
0o8 0O10 0o_ 0o1_0 0x1F 0X1F 0xg 0x 0x_ -0x1 0b11 0b2 0B1 0b_ +1 -010 1_000 1__0 _1 1_ -_1 1,000
1e5 1E5 1e+5 1e-5 1e 0.1e .5 -.5 +.5 5. 1.e5 .5e5 .5E+05 .e5 . .. ... - -- --- + ._ ._5 .5_0
1_.5 1._5 _.5 1e5_ 1e_5 1_e5 -0.0 0.0 1e400 -1e400 1e-400 .inf -.inf +.INF .Inf .iNf .nan .NaN
.NAN .Nan -.nan inf nan infinity NaN 12:30:45 1:60 190:20:30.15 -1:30 1:2 0:0 2001-12-14
2001-1-1 2001-02-30 2001-13-01 0000-01-01 9999-12-31 2001-12-14t21:59:43.10-05:00
2001-12-14T21:59:43Z 2001-12-14T21:59 2001-12-14T21:59:43.123456789Z 2001-12-14T21:59:43.9999999
9999-12-31T23:59:59.9999999 2001-12-14T25:00:00 2001-12-14T21:59:43+99:00 2001-12-14T1:02:03
2001-12-14T21:59:43-00:30 123456789012345678901234567890 0x123456789012345678901234567890
18446744073709551616 -9223372036854775809 9223372036854775807 = == < << <<< * & ! !! ? : , # | >
% @ ` ' " [ ] { } [] {} -a ?a :a a: a:b a#b a,b a'b a"b \\ \\n é \xa0 \u3000 \u0661 \u0967
\U0001f600 \ufeff x\x85y x\u2028y \ue000 \u200b http://x:80/y?z=1#w hg://org/repo
s3://b/k;gated=true ./a ../b ~/c $HOME C:\\x 1.2.3 v1
""".split()  # noqa: SIM905 - a table of words reads best as one
DISPUTED += [
    "", "x y", "x  y", "a: b", "a :b", "a #b", "- a", "? a", ": a", "2001-12-14 21:59:43.10 -5",
    "2001-12-14 21:59:43", "2001-12-15 2:59:43.1 +05:30", "2001-12-14 21:59:43.", "1 2", "x\ty",
    "\t",
]  # fmt: skip


def _named(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """``strategy`` with a short ``repr``: hypothesis warns of one as long as the lists above."""

    @st.composite
    def part(draw: st.DrawFn) -> str:
        return draw(strategy)

    return part()


_number_like = st.one_of(
    st.from_regex(r"[-+]?[0-9_.]{1,9}([eE][-+]?[0-9_]{0,3})?", fullmatch=True),
    st.from_regex(r"[-+]?0[xobXOB][0-9a-fA-F_]{0,6}", fullmatch=True),
    st.from_regex(r"[-+]?[0-9]{1,3}(:[0-9]{1,2}){1,3}(\.[0-9_]{0,3})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4} ?-[0-9]{1,2} ?-[0-9]{1,2}"
        r"(([Tt]| {1,2})[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,9})?"
        r"( ?(Z|[-+][0-9]{1,2}(:?[0-9]{2})?))?)?",
        fullmatch=True,
    ),
    st.integers(-(2**80), 2**80).map(str),
    st.floats().map(repr),
    st.dates().map(str),
    st.datetimes().map(str),
)  # fmt: skip
_characters = st.one_of(
    st.sampled_from(" :#-?,[]{}&*!|>%@`'\"\\<=~.0123456789abxyz\n"),
    st.sampled_from(" .0123456789abxyz-_"),
    st.characters(exclude_categories=["Cc", "Cn", "Cs"]),
    st.sampled_from("\xa0\x85\u2028\u2029\ufeff\U0001f600\U0010ffff\ufffd\ud7ff\ue000"),
)
_words = st.text(_characters, max_size=12)

_escapes = st.sampled_from(
    ["\\n", "\\t", "\\0", "\\x41", "\\u263a", "\\U0001f600", "\\N", "\\_", "\\L", "\\P", "\\e",
     "\\/", '\\"', "\\\\", "\\ ", "\\\n   ", "\\ud800", "\\ud83d\\ude00",
     "\\q", "\\x4", "\\U00110000"]
)  # fmt: skip
_tags = st.sampled_from([
    "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!binary", "!!timestamp", "!!set",
    "!!omap", "!!pairs", "!!seq", "!!map", "!!merge", "!!value", "!local", "!!unknown", "!e!x",
    "!!python/tuple", "!<tag:yaml.org,2002:str>", "!%41", "!!%73tr",
])  # fmt: skip
_anchors = st.sampled_from(["&a", "&b", "&c"])
_aliases = st.sampled_from(["*a", "*b", "*c", "*d"])
_headers = st.builds(
    "{}{}{}".format,
    st.sampled_from("|>"),
    st.sampled_from(["", "", "+", "-", "1", "2", "2+", "-2", "+1", "4", "9", "0", "++", "10"]),
    st.sampled_from(["", "", "", " # c", " ", "#c"]),
)
_line = st.text(st.sampled_from(" abc:#-'\"[{\xa0"), max_size=10)


def _double_quoted(parts: list[str]) -> str:
    return '"' + "".join(parts) + '"'


def _plainly(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


_plain = _named(st.one_of(st.sampled_from(DISPUTED), _number_like, _words))
_single_quoted = _plain.map(lambda text: "'" + text.replace("'", "''") + "'")
_quoted = _named(
    st.one_of(
        _single_quoted,
        st.lists(st.one_of(_escapes, _words.map(_plainly)), max_size=4).map(_double_quoted),
    )
)
_scalar = _named(st.one_of(st.sampled_from(DISPUTED), st.sampled_from(DISPUTED), _plain, _quoted))
_property = st.one_of(*[st.just("")] * 12, _anchors, _tags, _tags.map("&a {}".format))


def _spaced(prefix: str, text: str) -> str:
    return f"{prefix} {text}" if prefix else text


_flow_key = _named(
    st.one_of(st.sampled_from(["a", "b", "c", "k", '"a"', "'b'", "1", "true", "~", "? c"]), _scalar)
)


def _flow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inner = _named(inner)
    colon = st.sampled_from([": "] * 6 + [":", " : "])
    entry = _named(st.builds("{}{}{}".format, _flow_key, colon, inner))
    comma = st.sampled_from([", ", ", ", ",", " , ", ",\n   "])
    sequence = st.builds(
        lambda sep, items: "[" + sep.join(items) + "]", comma, st.lists(inner, max_size=4)
    )
    mapping = st.builds(
        lambda sep, items: "{" + sep.join(items) + "}",
        comma,
        st.lists(st.one_of(entry, entry, entry, _flow_key), max_size=3, unique=True),
    )
    return st.builds(_spaced, _property, st.one_of(sequence, mapping, entry.map("[{}]".format)))


flow = _named(
    st.recursive(
        st.one_of(*[st.builds(_spaced, _property, _scalar)] * 6, _aliases), _flow, max_leaves=5
    )
)

_key = _named(st.one_of(
    st.sampled_from(["a", "b", "checkpoint", "base", "name", "x y", "é", "\U0001f600"]),
    st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
    st.sampled_from(["1", "1.0", "true", "~", "null", "2001-12-14", "''", "'1'", "<<", "? z",
                     "? [1, 2]", "=", "!!str 1", "&k k", "*a ", "0", "false", "-0.0", ".nan",
                     "? {a: 1}", "[1]", "12:30:45"]),
    _scalar,
))  # fmt: skip


def _indented(text: str) -> str:
    return "".join(
        f"  {line}" if line.strip("\n") else line for line in text.splitlines(keepends=True)
    )


def _joined(fields: dict[str, str]) -> str:
    return "".join(f"{key}:{value}" for key, value in fields.items())


def _block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts that follow a key's colon, each ending with a newline."""
    inner = _named(inner)
    mapping = st.dictionaries(_key, inner, min_size=1, max_size=4).map(_joined)
    sequence = st.lists(inner.map("-{}".format), min_size=1, max_size=4).map("".join)
    head = _property.map(lambda text: f" {text}\n" if text else "\n")
    nested = st.builds(lambda top, body: top + _indented(body), head, st.one_of(mapping, sequence))
    comment = st.sampled_from(["", "", "", " # c", "# c\n", "   # c\n", "\n", "  \n"])
    return st.builds(lambda text, end: text + (end if end.endswith("\n") else ""), nested, comment)


_literal = _named(
    st.builds(
        lambda prefix, header, lines, indent: (
            " "
            + _spaced(prefix, header)
            + "\n"
            + "".join(f"{' ' * indent}{line}\n" for line in lines)
        ),
        _property,
        _headers,
        st.lists(_line, max_size=4),
        st.integers(0, 4),
    )
)
_leaf = _named(
    st.one_of(
        st.builds(" {}\n".format, flow),
        *[st.builds(" {}\n".format, _scalar)] * 5,
        st.builds(
            " {}{}\n".format,
            _scalar,
            st.sampled_from([" # c", "  ", "\n  more", "\n\n  more", "\t"]),
        ),
        _literal,
        st.just("\n"),
    )
)
after_key = _named(st.recursive(_leaf, _block, max_leaves=4))

_ANCHORED = "x: &a {a: 1, b: 2}\ny: &b\n  b: 3\n  c: [1]\nz: &c text\nw: &d [1, 2]\n"
_MERGES = [
    "m:\n  <<: *a\n", "m: {b: 0, <<: *a}\n", "n: *b\n", "n: [*c, *d, *d]\n", "<<: *a\n",
    "<<: *b\na: 5\n",
    "m:\n  c: 9\n  <<: [*a, *b]\n  a: 8\n", "m: {<<: [*b, *a]}\n", "m:\n  <<: *a\n  <<: *b\n",
    "m: {<<: *c}\n",
    "m:\n  k: {<<: *a}\n  <<: {k: 1}\n", "<<: {v: 1}\n", "m: {<<: 5}\n", "m: {<<: []}\n",
    "m: {<<: {q: 1, q: 2}}\n",
    "m: &a {<<: *a}\n", "s: !!set {a, b: 1, ? c}\n", "o: !!omap [a: 1, b: 2]\n",
    "p: !!pairs [a: 1, a: 2]\n",
    "d: !!binary aGk=\n", "t: !!timestamp 2001-12-14 21:59:43.5 +2\n", "r: &r [1, *r]\n",
    "q: &d [1, *a]\n",
    "u: *nowhere\n", "m: !!map {<<: *a}\n", "o: !!omap [a: *a, b: !!set {*c }]\n",
]  # fmt: skip
_field = _named(st.one_of(st.builds("{}:{}".format, _key, after_key), st.sampled_from(_MERGES)))
_name = _named(st.one_of(
    *[st.sampled_from(["card", "card@user", " card @ env ", "'card'", "card@"])] * 6,
    st.sampled_from(["", "''", "' '", "'@'", "'@x'", "a@b@c", "5", "true", "[a]", "~", "é",
                     "'\U0001f600'", "!!str 5"]),
    _scalar,
))  # fmt: skip


_rarely = st.sampled_from([False] * 7 + [True])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """One document: most have a name, and fields that are each valid or nearly so."""
    lines = draw(
        st.lists(
            _field,
            max_size=draw(st.sampled_from([1, 1, 1, 2, 3])),
            unique_by=lambda field: field.partition(":")[0],
        )
    )
    if draw(_rarely):
        base = st.sampled_from(["other", "' other '", "a@b", "''", "5", "~", "[a]"])
        lines.append(f"base: {draw(st.one_of(base, base, _scalar))}\n")
    if not draw(_rarely):
        lines.insert(draw(st.integers(0, len(lines))), f"name: {draw(_name)}\n")
    text = "".join(lines)
    if "*" not in text or draw(_rarely):
        return text
    return _ANCHORED + text if draw(st.booleans()) else text.replace("*", "")


_TOKENS = [
    "\t", " ", "\n", "\n\n", "---\n", "\n--- # c\n", "\n...\n", "# c\n", "%YAML 1.1\n", "&a ",
    "*a", "!!str ",
    "[", "]", "{", "}", "'", '"', ": ", ":", "- ", "? ", ",", "\\", "\x00", "\x07", "\x7f",
    "\x85", "\u2028", "\ufeff",
    "\ufffe", "\U0001f600", "|", ">", "<<: ", "=", "%", "@",
]  # fmt: skip


def damaged(text: str, seed: int) -> str:
    """``text`` with a few things cut out, doubled or put in."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randint(0, len(text)), rng.choice([0, 0, 1, 1, 3, 9])
        put = rng.choice(["", rng.choice(_TOKENS), text[at : at + length] * 2])
        text = text[:at] + put + text[at + length :]
    return text


_separators = st.sampled_from(
    ["---\n"] * 5 + ["--- # c\n", "...\n---\n", "...\n", "---\n---\n", "--- \n# c\n"]
)
_openings = st.sampled_from(
    [""] * 24
    + ["---\n", "# c\n", "\ufeff", "\n\n", "%YAML 1.1\n---\n", "%YAML 1.2\n---\n",
       "%YAML 1.3\n---\n",
       "%YAML 2.0\n---\n", "%TAG !e! tag:yaml.org,2002:\n---\n", "%FOO bar\n---\n",
       "%YAML 1.1\n%YAML 1.1\n---\n"]
)  # fmt: skip
_closings = st.sampled_from(
    [""] * 20 + ["---\n", "...\n", "# c", "\n\n", "--- # c\n", "...\n...\n", "x"]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A whole file, as text."""
    text = draw(_openings) + draw(documents())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        text += draw(_separators) + draw(documents())
    text += draw(_closings)
    return damaged(text, draw(st.integers(0, 2**32))) if draw(_rarely) else text


_encodings = st.sampled_from(
    ["utf-8"] * 40 + ["utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-32"]
)
_line_ends = st.sampled_from(["\n"] * 8 + ["\r\n", "\r"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A whole file, as bytes: mostly UTF-8."""
    text = draw(texts()).replace("\n", draw(_line_ends))
    return text.encode(draw(_encodings), "replace")
