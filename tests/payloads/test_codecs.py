"""Codecs: what is stored says what it is, comes back as it was, and no change of it goes unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import CodecError, InvalidValueError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX
from treadle.payloads import (
    Codec,
    CodecChain,
    CodecContext,
    Compression,
    Encryption,
    JsonConverter,
    KeyRing,
    header,
    is_encoded,
)
from treadle.payloads.codecs import CODEC_NUMBERS, CODECS_MAX

OLD, NEW = bytes(range(64)), bytes(range(1, 65))
RING = KeyRing({"2024": OLD, "2025": NEW}, "2025")
HERE = CodecContext("order-7", 3)
LONG = json.dumps({"text": "many words, many words, " * 30}).encode()

CHAINS = {
    "none": CodecChain(),
    "compression": CodecChain([Compression()]),
    "encryption": CodecChain([Encryption(RING)]),
    "both": CodecChain([Compression(), Encryption(RING)]),
    "both, the other way": CodecChain([Encryption(RING), Compression()]),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)
payloads = json_values.map(lambda value: json.dumps(value).encode())
places = st.builds(CodecContext, st.text("abc-é", min_size=1, max_size=9), st.integers(1, 2**63 - 1))


# -- every chain --


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@given(payload=payloads, context=places)
def test_payload_comes_back_as_it_was(chain, payload, context):
    assert payload == chain.decode(chain.encode(payload, context), context)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@given(payload=payloads, context=places)
def test_same_event_is_the_same_bytes(chain, payload, context):
    assert chain.encode(payload, context) == chain.encode(payload, attrs.evolve(context))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@given(payload=payloads)
def test_payload_from_before_the_codecs_still_reads(chain, payload):
    assert payload == chain.decode(payload, HERE)


@given(payloads, places)
def test_order_of_the_codecs_may_change(payload, context):
    for writer in CHAINS.values():
        assert payload == CHAINS["both"].decode(writer.encode(payload, context), context)


@given(st.sampled_from(sorted(CODEC_NUMBERS)), st.binary(max_size=20), st.integers(0, 255))
def test_encoded_payload_is_no_json_even_with_its_first_byte_changed(number, rest, first):
    for damaged in (header(number) + rest, bytes((first,)) + header(number)[1:] + rest):
        with pytest.raises(InvalidValueError):
            JsonConverter().decode(damaged)


def test_without_codecs_nothing_is_added():
    chain = CodecChain()

    assert not chain
    assert LONG is chain.encode(LONG, HERE)
    assert LONG is chain.decode(LONG, HERE)
    assert not is_encoded(LONG)


def test_encoded_payload_says_so():
    for name in ("compression", "encryption", "both"):
        assert is_encoded(CHAINS[name].encode(LONG, HERE)), name


def test_converter_that_makes_no_json_is_refused():
    for chain in CHAINS.values():
        with pytest.raises(InvalidValueError, match="begins with 0x00"):
            chain.encode(b"\x00\x01", HERE)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (
            CHAINS["encryption"].encode(LONG, HERE),
            "codec 2, which this runtime was not given; add Encryption",
        ),
        (
            CHAINS["compression"].encode(LONG, HERE),
            "codec 1, which this runtime was not given; add Compression",
        ),
        (b"\x00\x11x", "codec 17, which this runtime was not given; add one of your own"),
        (b"\x00", "codec 0, which"),
    ],
)
def test_missing_codec_is_named(stored, says):
    with pytest.raises(
        CodecError, match="the payload of workflow 'order-7', seq 3, is encoded with"
    ) as caught:
        CodecChain().decode(stored, HERE)

    assert says in str(caught.value)


def test_plain_payload_can_be_refused():
    strict = CodecChain([Encryption(RING)], accept_plain=False)

    assert LONG == strict.decode(strict.encode(LONG, HERE), HERE)
    with pytest.raises(CodecError, match="is not encoded, and this runtime takes only encoded"):
        strict.decode(LONG, HERE)


def test_payload_over_the_limit_once_encoded_is_refused():
    with pytest.raises(InvalidValueError, match="bytes once it is encoded"):
        CHAINS["encryption"].encode(b"1" * PAYLOAD_SIZE_BYTES_MAX, HERE)


class Reversed:
    """A codec of a user."""

    def __init__(self, number=16):
        self.number = number

    def encode(self, payload, context):
        del context
        return header(self.number) + payload[::-1]

    def decode(self, payload, context):
        del context
        return payload[2:][::-1]


def test_codec_of_a_user_takes_its_place():
    assert isinstance(Reversed(), Codec)
    chain = CodecChain([Reversed(), Compression(), Encryption(RING)])

    assert LONG == chain.decode(chain.encode(LONG, HERE), HERE)
    assert b"\x00\x10" + LONG[::-1] == CodecChain([Reversed()]).encode(LONG, HERE)


@pytest.mark.parametrize(
    ("codecs", "says"),
    [
        ([Compression(), Compression()], "each codec of a chain has its own number, got 1 twice"),
        ([Reversed(32)], "a codec's number is 16 to 31"),
        ([Reversed(10)], "a codec's number is 16 to 31"),
        ([Reversed("x")], "a codec's number is 16 to 31"),
        ([object()], "a codec has number, encode and decode"),
        ([Reversed(n) for n in range(16, 25)], f"at most {CODECS_MAX} codecs, got 9"),
    ],
)
def test_chain_that_cannot_be_is_refused(codecs, says):
    with pytest.raises(InvalidValueError, match=says):
        CodecChain(codecs)


# -- compression --


def test_compression_makes_smaller_what_can_be():
    assert len(LONG) > 4 * len(CHAINS["compression"].encode(LONG, HERE))


@given(st.binary(max_size=400))
def test_compression_never_makes_larger(payload):
    encoded = Compression().encode(payload, HERE)

    assert len(encoded) <= len(payload)
    assert encoded is payload or payload == Compression().decode(encoded, HERE)


def deflated(plain):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return header(1) + compressor.compress(plain) + compressor.flush()


def test_decompression_bomb_never_unfolds():
    with pytest.raises(CodecError, match="unfolds to more than 2,097,152 bytes"):
        CHAINS["compression"].decode(deflated(b"0" * 200_000_000), HERE)


def test_largest_payload_unfolds():
    plain = b"0" * PAYLOAD_SIZE_BYTES_MAX

    assert plain == CHAINS["compression"].decode(deflated(plain), HERE)


def test_payload_wrapped_again_and_again_is_refused():
    payload = LONG
    for _ in range(CODECS_MAX + 1):
        payload = deflated(payload)

    with pytest.raises(CodecError, match="wrapped more than 8 times"):
        CHAINS["compression"].decode(payload, HERE)


@pytest.mark.parametrize(
    "damage", [lambda p: p[:-5], lambda p: p + b"x", lambda _: b"\x00\x01", lambda _: b"\x00\x01\xff"]
)
def test_damaged_stream_is_refused(damage):
    with pytest.raises(CodecError, match="is compressed and damaged"):
        CHAINS["compression"].decode(damage(deflated(LONG)), HERE)


@pytest.mark.parametrize("level", [0, 10, 1.5, True])
def test_compression_level_that_is_none_is_refused(level):
    with pytest.raises(InvalidValueError, match="an int from 1 to 9"):
        Compression(level=level)


# -- encryption --


def test_ciphertext_shows_nothing_of_the_payload():
    encoded = CHAINS["encryption"].encode(LONG, HERE)

    assert b"words" not in encoded
    assert encoded.startswith(b"\x00\x02\x042025")


@given(payloads, st.data())
def test_every_changed_byte_is_noticed(payload, data):
    encoded = bytearray(CHAINS["both"].encode(payload, HERE))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises((CodecError, InvalidValueError)):
        JsonConverter().decode(CHAINS["both"].decode(bytes(encoded), HERE))


@given(payloads, st.data())
def test_every_cut_is_noticed(payload, data):
    encoded = CHAINS["encryption"].encode(payload, HERE)
    kept = data.draw(st.integers(1, len(encoded) - 1))

    with pytest.raises(CodecError):
        CHAINS["encryption"].decode(encoded[:kept], HERE)


@given(payloads, places, places)
def test_payload_that_was_moved_is_refused(payload, written, read):
    encoded = CHAINS["encryption"].encode(payload, written)

    if written != read:
        with pytest.raises(CodecError, match="moved here from another place"):
            CHAINS["encryption"].decode(encoded, read)


def test_old_key_still_reads():
    before = CodecChain([Encryption(KeyRing({"2024": OLD}, "2024"))])

    assert LONG == CHAINS["encryption"].decode(before.encode(LONG, HERE), HERE)


def test_unknown_key_is_named():
    chain = CodecChain([Encryption(KeyRing({"2023": OLD, "2022": OLD}, "2023"))])

    with pytest.raises(
        CodecError,
        match=r"encrypted with the key '2025', which the ring does not have \(it has '2022', '2023'\)",
    ):
        chain.decode(CHAINS["encryption"].encode(LONG, HERE), HERE)


def test_other_key_under_the_same_id_is_refused():
    chain = CodecChain([Encryption(KeyRing({"2025": OLD}, "2025"))])

    with pytest.raises(CodecError, match="does not open with the key '2025': the ring holds another key"):
        chain.decode(CHAINS["encryption"].encode(LONG, HERE), HERE)


@pytest.mark.parametrize(
    "damaged", [b"\x00\x02", b"\x00\x02\x04", b"\x00\x02\x042025", b"\x00\x02\x00xx", b"\x00\x02\x01\xffx"]
)
def test_header_without_a_key_is_refused(damaged):
    with pytest.raises(CodecError, match="is encrypted and damaged"):
        CHAINS["encryption"].decode(damaged, HERE)


def test_key_is_never_shown():
    ring = KeyRing({"k": b"secret-secret-secret-secret-1234"}, "k")

    shown = f"{ring!r} {Encryption(ring)!r} {CodecChain([Encryption(ring)])!r}"
    assert "KeyRing(ids=['k'], current='k')" in shown
    assert "secret" not in shown
    for key in (b"secret", "secret-secret-secret-secret-1234"):
        with pytest.raises(InvalidValueError, match="key 'k'") as caught:
            KeyRing({"k": key}, "k")
        assert "secret-" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "current", "says"),
    [
        ({}, "a", "it has none"),
        ({"a": OLD}, "b", "got 'b'; it has 'a'"),
        ({"a": OLD[:16]}, "a", "has 32, 48 or 64 bytes, got 16"),
        ({"": OLD}, "", "a key id is a printable str of 1 to 32"),
        ({"é" * 17: OLD}, "é" * 17, "a key id is a printable str of 1 to 32"),
        ({"a\n": OLD}, "a\n", "a key id is a printable str of 1 to 32"),
        ({7: OLD}, 7, "a key id is a printable str of 1 to 32"),
    ],
)
def test_ring_that_cannot_be_is_refused(keys, current, says):
    with pytest.raises(InvalidValueError, match=says):
        KeyRing(keys, current)


def test_encryption_takes_a_ring():
    with pytest.raises(InvalidValueError, match="takes a KeyRing, got dict"):
        Encryption({"a": OLD})


def test_missing_package_is_named():
    """Without the extra only encryption is missing, and the error says how to get it."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from treadle.payloads import KeyRing\n"
        "from treadle.errors import UsageError\n"
        "try: KeyRing({'a': bytes(64)}, 'a')\n"
        "except UsageError as error: print(error)\n"
    )

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "pip install 'treadle[encryption]'" in shown


def test_known_vector_is_met():
    """What is on disk stays readable: these bytes were written by the first version that encrypts."""
    stored = CHAINS["encryption"].encode(b'{"cents":4200}', HERE)

    assert KNOWN == stored.hex()


KNOWN = "00020432303235d3e7d23ecad9823d8bcc36145fb86e8ad5e756197bcaca817d7fa77371f6"
