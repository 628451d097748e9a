"""What resolverd reads is what ruamel.yaml reads, value for value and type for type."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolverd.cards import parse_fast
from resolverd.cards.parse_document import Document, Fault, Unproven
from resolverd.cards.parse_text import read
from tests.cards.making import exact, load_reference

# Scalars on which YAML 1.1, YAML 1.2, PyYAML and ruamel.yaml part ways.
DISPUTED = """
y Y yes Yes YES n N no NO on On ON off OFF true True TRUE tRUE false False FALSE null Null NULL nULL
~ ~~ = == << <<< 0 00 -0 +0 1 -1 +1 01 010 -010 0o10 0o8 0O7 -0o7 0x1F 0X1F 0x 0xg -0x1f 0b1 0b2
0b 1_000 _1 1_ __ -_ +_ 1__0 0_7 1. 1.0 -1. .5 -.5 +.5 . .. ... - -- + +- -+1 1e5 1E5 1e+5 1e-5 1e
e5 1.e5 .5e5 .5e+5 -.5e-5 1.5e5 1_0.5 1.5_0 ._ ._5 1.2.3 1-2 1:2 12:30:45 12:30 190:20:30
190:20:30.15 1:2:3:4 .inf .Inf .INF -.inf +.inf .iNF inf .nan .NaN .NAN -.nan nan 2020-01-02
2020-1-2 2020-13-01 2020-02-30 0000-01-01 9999-12-31 2020-01-02T03:04:05 2020-01-02t03:04:05Z
2020-01-02T03:04:05.678 2020-01-02T03:04:05.1234567 2020-01-02T03:04:05.9999999
2020-01-02T03:04:05+01:30 2020-01-02T03:04:05-5 2020-01-02T25:00:00 2020-01-02Z 20200102 2020-01
2020-001 2020-01-02x 2020-01-023 1234567890123456789012345678901234567890
99999999999999999999.5 1e400 -1e400 0.1 -0.0 0e0 00.5 08 09 0o 0b102 ١٢٣ é ß ß: a\u00a0b \uff11
http://a/b?c=d&e#f a:b :a a: ?a ?a? -a --- --a @a `a %a !a &a *a |a >a 'a "a a'b a"b a#b #a a#
{a} [a] a{b} a[b] a,b ,a {} [] \\ \\n a\\b ! & * | > % @ `
""".split()  # noqa: SIM905 - reads as a table

SPACED = [
    "2020-01-02 03:04:05",
    "2020-01-02   03:04:05.5 +1",
    "2020-01-02 3:04:05 Z",
    "1 2",
    "a b  c",
    "a # b",
    "a #b",
    "a: b",
    "a :b",
    "a - b",
    "- a",
    "? a",
    ": a",
    "a ?",
    "x y: z",
    "[a, b",
    "{a: b",
    "[a, b]c",
    "'a' b",
    '"a" b',
    "''",
    '""',
    "'it''s'",
    '"\\x41\\u00e9\\U0001F600\\n\\t\\/\\_\\N\\L\\P\\e\\0\\a"',
    '"\\ud83d"',
    '"\\ud83d\\ude00"',
    '"\\q"',
    "'\\n'",
    "&x a",
    "*x",
    "!!str 1",
    "!!int '7'",
    "!!float 1",
    "!!bool yes",
    "!!null ''",
    "!!binary aGk=",
    "!!binary é",
    "!!timestamp 2020-01-02",
    "!!set {a, b}",
    "!!omap [a: 1, b: 2]",
    "!!pairs [a: 1, a: 2]",
    "!!seq [a]",
    "!!map {a: b}",
    "!!str",
    "! a",
    "! 1",
    "!local a",
    "!!python/object:os.system x",
    "!<tag:yaml.org,2002:str> 1",
]

FLOW = r"""
[a]  [a,b]  [a, b]  [a,b,]  [,]  [a,,b]  []  [[]]  [{}]  [a: b]  [a:b]  [a :b]  [a, b: c]  [http://x]
[-]  [-1]  [- a]  [a-b]  [a -b]  [?a]  [? a]  ["a":b]  ["a": b]  [a#b]  ['#']  [a, #b]  [a  ]a]
{}  {a}  {a: }  {a:}  {a:b}  {a: b}  {a : b}  {a: b,}  {a,b}  {a, b: c}  {"a":b}  {"a": b}  {a: [b]}
{a: {b: c}}  {?a: b}  {? a}  {: a}  {a: -b}  {a: - b}  {1: a}  {a: b, a: c}  {a: *x}  {a: !!str 1}
{<<: {a: b}}  {a: b}}  [a]]  {a: 1.5, b: .5, c: 1e5}  [0x1F, 010, ~]  [a, 'b, c', "d"]  {a: "}"}
{'a b': "c d"}  {a: b c, d: e f}  [2020-01-02, true, null]  {a: 'b: c'}  {a: b}c
{a: [b, {c: d}], e: f}
"""
FLOWS = [flow for line in FLOW.split("\n") for flow in line.split("  ") if flow]

BLOCK = [
    "|\n  a\n  b\n",
    "|\n  a\n\n  b\n\n\n",
    "|-\n  a\n",
    "|+\n  a\n\n\n",
    "|2\n   a\n",
    "|1-\n  a\n",
    "|\n\n  a\n",
    "|\n   \n  a\n",
    "|\n\n\n",
    "|",
    "| # comment\n  a\n",
    "|# comment\n  a\n",
    ">\n  a\n  b\n",
    ">\n  a\n\n  b\n   c\n  d\n",
    ">-\n  a\n  # b\n",
    ">+\n  a\n\n",
    ">\n\n  a\n b\n",
    "|\n  a\n b\n",
    "|\n a: b\n c: d\n",
    "a\n  b\n  c\n",
    "a\n\n  b\n",
    "'a\n  b'\n",
    '"a\n  b"\n',
    '"a\\\n  b"\n',
    "'a\n\n  b'\n",
    "[a,\n  b]\n",
    "{a: b,\n  c: d}\n",
    "[a, # c\n  b]\n",
    "\n- a\n- b\n",
    "\n  - a\n  - b\n",
    "\n - a\n - b: c\n   d: e\n",
    "\n  - - a\n    - b\n  -\n    - c\n",
    "\n  -\n  - \n  - ~\n",
    "\n  ? a\n  : b\n",
    "\n  ? [a]\n  : b\n",
    "\n  1: a\n",
    "\n  1: a\n  1.0: b\n",
    "\n  true: a\n  1: b\n",
    "\n  a: b\n  a: c\n",
    "\n  .nan: a\n  .nan: b\n",
    "\n  ~: a\n",
    "\n  [a, b]: c\n",
    "\n  {a: b}: c\n",
    "\n  a:\n\tb: c\n",
    "\n  a: b\n c: d\n",
    "&x\n  a: b\nm: *x\n",
    "&x {a: b, c: d}\nm:\n  <<: *x\n  c: e\n",
    "&x {a: b}\nm:\n  c: e\n  <<: *x\n  a: f\n",
    "&x {a: b}\nn: &y {a: c}\nm: {<<: [*x, *y]}\n",
    "&x {a: b}\nm: {<<: *x, <<: *x}\n",
    "&x [a]\nm: {<<: *x}\n",
    "&x a\ny: &x b\nm: *x\n",
    "&x a\nm: [*x, *y]\n",
    "&x a\n--- \nm: *x\n",
]

STREAMS = [
    "",
    "\n",
    " ",
    "# a",
    "---",
    "---\n",
    "--- # a\n",
    "---\n---\n",
    "a: b\n---\n",
    "a: b\n---\n# c\n",
    "a: b\n...\n",
    "a: b\n...\nc: d\n",
    "a: b\n...\n---\nc: d\n...\n...\n",
    "---\na: b\n--- \nc: d\n",
    "--- a\n--- b\n",
    "--- |\n a\n--- >\nb\n",
    "--- {a: b}\n--- [c]\n",
    "---a: b\n",
    "----\n",
    "- a\n",
    "a\n",
    "a\n---\nb: c",
    "%YAML 1.2\n---\na: 010\n",
    "%YAML 1.1\n---\na: 010\nb: yes\nc: 1:30\nd: 1e5\n",
    "%YAML 1.1\n---\na: yes\n---\nb: yes\n",
    "%YAML 1.1\n---\na: yes\n...\n---\nb: yes\n",
    "%YAML 1.3\n---\na: yes\n",
    "%YAML 2.0\n---\na: yes\n",
    "%TAG !e! tag:yaml.org,2002:\n---\na: !e!str 1\n",
    "%FOO bar\n---\na: b\n",
    "a: b\n%YAML 1.1\n---\nc: d\n",
    "a: %b\n",
    "a:\n  - b\n   - c\n",
    "a: b\r\nc: d\r\n",
    "a: b\rc: d\r",
    "a: |\r\n  b\r\n  c\r\n",
    "\ufeffa: b\n",
    "\ufeff---\na: b\n",
    "a: b\n\ufeff---\nc: d\n",
    "a: \ufeffb\n",
    "a: b\u2028c: d\n",
    "a: b\x85c: d\n",
    "# \u2028---\na: b\n",
    "a: \x00\n",
    "a: \x07\n",
    "a: \x7f\n",
    "a: \ufffe\n",
    "a: \U0001f600\n",
    "a: é # ü\n",
    "\ta: b\n",
    "a:\tb\n",
    "a: b\t# c\n",
    "a: 'b\tc'\n",
    f"{'k' * 1023}: v\n",
    f"{'k' * 1024}: v\n",
    f"{'k' * 1025}: v\n",
    f"'{'k' * 1030}': v\n",
    f"a: 0x{'f' * 5000}\n",
    f"a: {'9' * 4300}\n",
    f"a: {'9' * 4301}\n",
    "a: {b: c\nd: e\n",
    "a: 'b\n---\nc: d\n",
    "\"a\": b\n'c': d\n",
    "a : b\n",
    "a:\n\n\n  b: c\n\n# d\n  e: f\n",
]


def assert_same(text: str | bytes) -> None:
    """Both read the same, or both refuse; and the fast path never says otherwise."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    found = read(data)
    faults = [each for each in found if isinstance(each, Fault)]
    try:
        expected = load_reference(data)
    except Exception:  # noqa: BLE001 - whatever it dies of, fairseq2 dies of it too
        assert faults, f"only ruamel.yaml refuses {data!r}"
        return
    assert not faults, f"only resolverd refuses {data!r}: {faults}"
    values = [each.value for each in found if isinstance(each, Document)]
    assert exact(values) == exact(expected), data


@pytest.mark.parametrize("scalar", [*DISPUTED, *SPACED])
@pytest.mark.parametrize(
    "form", ["a: {}\n", "{}: a\n", "a:\n- {}\n", "a: [{}]\n", "{}", "a: {{b: {}}}"]
)
def test_a_disputed_scalar_reads_the_same_wherever_it_stands(form, scalar):
    assert_same(form.format(scalar))


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_collection_reads_the_same(flow):
    assert_same(f"a: {flow}\n")
    assert_same(f"- {flow}\n- b\n")
    assert_same(flow)


@pytest.mark.parametrize("node", BLOCK)
def test_a_block_reads_the_same(node):
    assert_same(f"a: {node}")
    assert_same(f"a: {node}z: 1\n")
    assert_same(f"- a: {node}")


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_reads_the_same(stream):
    assert_same(stream)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32", "utf-8-sig", "cp1252"])
def test_an_encoding_reads_the_same_or_is_refused_by_both(encoding):
    assert_same("name: \xe9\nb: ü\n".encode(encoding))


NUMERIC = "0123456789_+-.:eExXobBTtZ aAfF"
WORDS = "tTrRuUeEfFaAlLsSnN~.iI<=+-"


@settings(max_examples=1200, deadline=None)
@given(st.text(NUMERIC, min_size=1, max_size=9) | st.text(WORDS, min_size=1, max_size=5))
@example("+_")
@example("2020-01- 2")
def test_any_run_of_the_characters_of_numbers_and_words_reads_the_same(scalar):
    assert_same(f"a: {scalar}\n")


keys = st.text("abk_-.0 ", min_size=1, max_size=6) | st.text(max_size=6)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.text(max_size=20)
    | st.text("ab: #-'\"\n{}[],&*!|>%@`?\\", max_size=20)
    | st.sampled_from(DISPUTED)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.dictionaries(keys, values, max_size=5), max_size=3),
    st.sampled_from([None, False, True]),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.booleans(),
)
def test_whatever_a_dumper_writes_reads_the_same(documents, flow, style, unicode):
    text = yaml.safe_dump_all(
        documents,
        default_flow_style=flow,
        default_style=style,
        allow_unicode=unicode,
        sort_keys=False,
        width=40,
    )
    assert_same(text)


def soup(random: random.Random) -> str:
    """Make something that looks like YAML and often is not quite."""
    lines, indent = [], 0
    for _ in range(random.randint(1, 7)):
        key = random.choice(["a", "b", "c", "d", "- ", "- a", "k k", "'q'", '"z"'])
        value = random.choice(
            ["", "1", "'q r'", '"d\\te"', "|", ">-", "|+", "[a, b]", "{a: b}", "x y", "- ", "a#b",
             "a #c", "-a", "{a: [1, 2], b: c}", "http://a:b/c", "[a: b]", "&x 1", "*x", "!!str 1"]
        )  # fmt: skip
        lines.append(" " * indent + (f"{key}{value}" if key == "- " else f"{key}: {value}"))
        indent = max(0, indent + random.choice([0, 0, 0, 2, 2, -2, -2, 1, -1]))
        if random.random() < 0.15:
            lines.append(random.choice(["", "# c", "   ", "---", "  # c", "..."]))
    text = "\n".join(lines) + random.choice(["", "\n", "\n\n", " "])
    for _ in range(random.choice([0, 0, 1, 2])):
        at = random.randrange(len(text) + 1)
        insert = random.choice([*"abk\n \t-:,'\"|>#{}[]?&*!%@`\\~=<01.e", "\n  ", "- ", ": ", "é"])
        text = text[:at] + insert + text[at + random.choice([0, 0, 1]) :]
    return text


@pytest.mark.parametrize("seed", range(8))
def test_yaml_with_a_few_slips_of_the_pen_reads_the_same(seed):
    source = random.Random(seed)
    for _ in range(400):
        assert_same(soup(source))


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_path_never_reads_what_ruamel_reads_otherwise(seed):
    source = random.Random(1000 + seed)
    taken = 0
    for _ in range(4000):
        text = soup(source)
        try:
            found = [each.value for each in parse_fast.documents(text)]
        except Unproven:
            continue
        taken += 1
        assert exact(found) == exact(load_reference(text.encode())), text
    assert taken > 200


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nbase: b\nmodel_family: llama\ncheckpoint: 'hg://a/b'\n",
        "# a comment\n\nname: a  # another\nmodel_config:\n  layers:\n    - 1\n    - 2.5\n",
        "name: a\n---\nname: b\n\n---\n\nname: c\n",
        "---\nname: a\ndescription: |\n  Some text.\n\n  More: text.\nlanguages: [en, de, fr-FR]\n",
        "name: a\r\nurl: https://h/p?q=1&r=2#f\r\ncreated: 2024-05-06\r\nempty:\r\n",
        "name: é\nmap: {a: 1, b: [x, y]}\nnothing: ~\nyes: true\n",
    ],
)
def test_the_cards_that_people_write_take_the_fast_path(text):
    assert parse_fast.documents(text.replace("\r\n", "\n"))
    assert_same(text)
