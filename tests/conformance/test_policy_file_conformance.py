"""Policy files against c2sp.org/tlog-policy: which are read and which are refused."""

import pytest
from reference_notes import COSIGNATURE_V1, ED25519, Key, Signer
from signing_parties import (
    EXAMPLE_POLICY,
    LOG,
    LOG_ML_DSA,
    ORIGIN,
    OTHER_LOG,
    WITNESS_ML_DSA,
    WITNESSES,
    same_key_as,
)

from deploymark.errors import PolicyError
from deploymark.log.policy import parse_policy

V = [signer.vkey for signer in WITNESSES]
L = LOG.vkey

MANY = "".join(
    f"log {Signer.of(f'log.example/{number}').vkey}\n"
    f"witness w{number} {Signer.of(f'many.example/{number}', COSIGNATURE_V1).vkey}\n"
    f"group g{number} any w{number}\n"
    for number in range(32)
)

GOOD: dict[str, str | bytes] = {
    "the example of the specification": EXAMPLE_POLICY,
    "only a quorum": "quorum none\n",
    "a log and no witness": f"log {L}\nquorum none\n",
    "an ML-DSA-44 log": f"log {LOG_ML_DSA.vkey}\nquorum none\n",
    "both keys of a log": f"log {L}\nlog {LOG_ML_DSA.vkey}\nquorum none\n",
    "two logs": f"log {L}\nlog {OTHER_LOG.vkey}\nquorum none\n",
    "a witness as quorum": f"witness w {V[0]}\nquorum w\n",
    "an ML-DSA-44 witness": f"witness w {WITNESS_ML_DSA.vkey}\nquorum w\n",
    "URLs": f"log {L} https://example.com/log/\nwitness w {V[0]} https://w.example/\nquorum w\n",
    "URLs that are none": f"log {L} anything-else\nwitness w {V[0]} *\nquorum w\n",
    "witnesses that the quorum does not need": f"witness w {V[0]}\nquorum none\n",
    "groups that the quorum does not need": f"witness w {V[0]}\ngroup g any w\nquorum w\n",
    "definitions behind the quorum": f"quorum none\nlog {L}\nwitness w {V[0]}\ngroup g all w\n",
    "a log behind the quorum that names a witness": f"witness w {V[0]}\nquorum w\nlog {L}\n",
    "empty lines and lines of white space": f"\n\n \t \nlog {L}\n\t\nquorum none\n\n",
    "comments": f"# one\n \t # two\n#\n##\nlog {L}\n#quorum x\nquorum none\n",
    "tabs and runs of spaces": f"\t log \t {L}  \t\n  quorum\t\tnone \n",
    "a threshold of one": f"witness w {V[0]}\ngroup g 1 w\nquorum g\n",
    "a threshold of all": f"witness a {V[0]}\nwitness b {V[1]}\ngroup g 2 a b\nquorum g\n",
    "a threshold of ten": "".join(
        f"witness w{number} {Signer.of(f'ten.example/{number}', COSIGNATURE_V1).vkey}\n"
        for number in range(11)
    )
    + "group g 10 "
    + " ".join(f"w{number}" for number in range(11))
    + "\nquorum g\n",
    "a group in a group in a group": (
        f"witness w {V[0]}\ngroup a any w\ngroup b all a\ngroup c 1 b\nquorum c\n"
    ),
    "names that are keywords": (
        f"witness all {V[0]}\nwitness any {V[1]}\nwitness log {V[2]}\n"
        "group group 3 all any log\ngroup quorum any group\nquorum quorum\n"
    ),
    "names that are numbers": f"witness 1 {V[0]}\nwitness 2 {V[1]}\ngroup 3 2 1 2\nquorum 3\n",
    "None is not none": f"witness None {V[0]}\nquorum None\n",
    "names in two cases": f"witness w {V[0]}\nwitness W {V[1]}\ngroup g all w W\nquorum g\n",
    "a name with any printable character": (
        f"witness !$%&'()*+,-./:;<=>?@[]^_`{{|}}~ {V[0]}\nquorum none\n"
    ),
    "a name that has a number sign inside": f"witness w#1 {V[0]}\nquorum w#1\n",
    "a Kelvin sign and a K": (
        f"witness K {V[0]}\nwitness \u212a {V[1]}\ngroup g all K \u212a\nquorum g\n"
    ),
    "one letter composed and decomposed": (
        f"witness \u00e9 {V[0]}\nwitness e\u0301 {V[1]}\ngroup g all \u00e9 e\u0301\nquorum g\n"
    ),
    "a no-break space inside a name": f"witness a\u00a0b {V[0]}\nquorum a\u00a0b\n",
    "an ideographic space inside a name": f"witness a\u3000b {V[0]}\nquorum a\u3000b\n",
    "a line separator inside a name": f"witness a\u2028b {V[0]}\nquorum a\u2028b\n",
    "a next-line character inside a name": f"witness a\u0085b {V[0]}\nquorum a\u0085b\n",
    "a quorum behind a line separator in a comment": "# \u2028quorum x\nquorum none\n",
    "a quorum behind a next-line character in a comment": "# \u0085quorum x\nquorum none\n",
    "letters of any script in a comment": "# Политика доверия\nquorum none\n",
    "an international domain name": f"witness w {V[0]} https://zürich.example/\nquorum w\n",
    "octets that are not UTF-8 in a comment": b"# \xff\xfe\x80\nquorum none\n",
    "octets that are not UTF-8 in a name": (
        f"witness w\udc80 {V[0]}\nquorum w\udc80\n".encode(errors="surrogateescape")
    ),
    "names that differ in octets that are not UTF-8": (
        f"witness w\udc80 {V[0]}\nwitness w\udc81 {V[1]}\ngroup g all w\udc80 w\udc81\nquorum g\n"
    ).encode(errors="surrogateescape"),
    "octets": EXAMPLE_POLICY.encode(),
    "32 logs, 32 witnesses and 32 groups": MANY + "quorum g31\n",
    "the same key as a log and as a witness": (
        f"log {L}\nwitness w {same_key_as(LOG, 'w', COSIGNATURE_V1)}\nquorum w\n"
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_well_formed_policy_is_read(text: str | bytes) -> None:
    parse_policy(text)


TWO = f"witness a {V[0]}\nwitness b {V[1]}\n"
PLAIN = same_key_as(WITNESSES[0], "w", ED25519)
IMPOSTOR = same_key_as(WITNESSES[0], "impostor.example")
UNKNOWN = Key(ORIGIN, 0x63, bytes(32)).vkey

BAD: dict[str, str | bytes] = {
    "nothing": "",
    "only a comment": "# quorum none\n",
    "no quorum": f"log {L}\n",
    "two quorums": "quorum none\nquorum none\n",
    "two quorums that differ": f"{TWO}quorum a\nquorum b\n",
    "a quorum without a name": "quorum\n",
    "a quorum of two names": f"{TWO}quorum a b\n",
    "a quorum with a comment behind it": "quorum none # really\n",
    "a quorum that is not defined": "quorum w\n",
    "a quorum before the witness": f"quorum w\nwitness w {V[0]}\n",
    "a quorum before the group": f"{TWO}quorum g\ngroup g any a b\n",
    "a quorum in other letters": f"witness w {V[0]}\nquorum W\n",
    "a quorum that is a log's key name": f"log {L}\nquorum {ORIGIN}\n",
    "a quorum that is a witness's key name": f"witness w {V[0]}\nquorum witness.example/0\n",
    "a quorum of None": "quorum None\n",
    "a keyword that is unknown": "quibble w\nquorum none\n",
    "a keyword in capitals": f"LOG {L}\nquorum none\n",
    "a keyword that is part of a word": f"logs {L}\nquorum none\n",
    "a no-break space for a space": f"log\u00a0{L}\nquorum none\n",
    "a no-break space in front": "\u00a0quorum none\n",
    "a line separator for a newline": "quorum none\u2028",
    "a comment behind a no-break space": "\u00a0# comment\nquorum none\n",
    "a log without a key": "log\nquorum none\n",
    "a log with a name": f"log mine {L}\nquorum none\n",
    "a log with two URLs": f"log {L} https://a.example/ https://b.example/\nquorum none\n",
    "a log with a comment behind it": f"log {L} # mine\nquorum none\n",
    "a log with a key that is none": "log garbage\nquorum none\n",
    "a log with a key id of another": f"log {ORIGIN}+00000000+{L.rsplit('+', 1)[1]}\nquorum none\n",
    "a log with a key of an unknown type": f"log {UNKNOWN}\nquorum none\n",
    "the same log twice": f"log {L}\nlog {L}\nquorum none\n",
    "the same log key with another URL": f"log {L} https://a/\nlog {L} https://b/\nquorum none\n",
    "the same log key under another name": f"log {L}\nlog {same_key_as(LOG, 'x')}\nquorum none\n",
    "a witness without a key": "witness w\nquorum none\n",
    "a witness without a name": f"witness {V[0]}\nquorum none\n",
    "a witness with two URLs": f"witness w {V[0]} https://a/ https://b/\nquorum none\n",
    "a witness with a comment behind it": f"witness w {V[0]} https://a/ # mine\nquorum w\n",
    "a witness with a key that is none": "witness w garbage\nquorum w\n",
    "a witness with a plain Ed25519 key": f"witness w {PLAIN}\nquorum w\n",
    "a witness with a key of an unknown type": f"witness w {UNKNOWN}\nquorum w\n",
    "a witness called none": f"witness none {V[0]}\nquorum none\n",
    "the same witness twice": f"witness w {V[0]}\nwitness w {V[0]}\nquorum w\n",
    "the same witness name twice": f"witness w {V[0]}\nwitness w {V[1]}\nquorum w\n",
    "the same witness key under another name": f"witness a {V[0]}\nwitness b {V[0]}\nquorum a\n",
    "the same witness key under another key name": (
        f"witness a {V[0]}\nwitness b {IMPOSTOR}\nquorum a\n"
    ),
    "a group without members": f"{TWO}group g any\nquorum a\n",
    "a group without members, all of them": f"{TWO}group g all\nquorum a\n",
    "a group without a rule": f"{TWO}group g\nquorum a\n",
    "a group without a name": f"{TWO}group\nquorum a\n",
    "a group whose rule is a member": f"{TWO}group g a b\nquorum a\n",
    "a group called none": f"{TWO}group none any a\nquorum none\n",
    "a group that takes the name of a witness": f"{TWO}group a any b\nquorum a\n",
    "a group that takes the name of its member": f"{TWO}group a any a\nquorum a\n",
    "a witness that takes the name of a group": f"{TWO}group g any a\nwitness g {V[2]}\nquorum g\n",
    "two groups of one name": f"{TWO}group g any a\ngroup g any b\nquorum g\n",
    "a threshold of zero": f"{TWO}group g 0 a b\nquorum g\n",
    "a negative threshold": f"{TWO}group g -1 a b\nquorum g\n",
    "a threshold with a plus": f"{TWO}group g +1 a b\nquorum g\n",
    "a threshold above the members": f"{TWO}group g 3 a b\nquorum g\n",
    "a threshold with a fraction": f"{TWO}group g 1.0 a b\nquorum g\n",
    "a threshold in hexadecimal": f"{TWO}group g 0x1 a b\nquorum g\n",
    "a threshold with an underscore": f"witness c {V[2]}\n{TWO}group g 0_1 a b\nquorum g\n",
    "a threshold in other digits": f"{TWO}group g \u0661 a b\nquorum g\n",
    "a threshold in superscript": f"{TWO}group g \u00b9 a b\nquorum g\n",
    "a threshold of five thousand digits": f"{TWO}group g {'9' * 5000} a b\nquorum g\n",
    "a threshold in words": f"{TWO}group g some a b\nquorum g\n",
    "a threshold in capitals": f"{TWO}group g ALL a b\nquorum g\n",
    "a member that is not defined": f"{TWO}group g any a c\nquorum g\n",
    "a member defined further down": f"group g any w\nwitness w {V[0]}\nquorum g\n",
    "a group of itself": f"{TWO}group g any g a\nquorum g\n",
    "groups in a circle": f"{TWO}group g any h a\ngroup h any g b\nquorum g\n",
    "none as a member": f"{TWO}group g any none a\nquorum g\n",
    "a member twice": f"{TWO}group g all a a\nquorum g\n",
    "a member of two groups": f"{TWO}group g any a b\ngroup h any a\nquorum g\n",
    "a group in two groups": f"{TWO}group g any a\ngroup h any g\ngroup i any g b\nquorum i\n",
    "a member with a comment behind it": f"{TWO}group g any a # b\nquorum g\n",
    "a Kelvin sign for a K": f"witness K {V[0]}\nquorum \u212a\n",
    "a decomposed letter for a composed one": f"witness \u00e9 {V[0]}\nquorum e\u0301\n",
    "a carriage return": "quorum none\r\n",
    "a carriage return in a comment": "# comment\r\nquorum none\n",
    "lines parted by carriage returns": f"log {L}\rquorum none\r",
    "a null": "quorum none\n\x00",
    "a null in a comment": "# \x00\nquorum none\n",
    "a vertical tab for a space": "quorum\x0bnone\n",
    "a form feed at the end": "quorum none\n\x0c",
    "a unit separator for a space": "quorum\x1fnone\n",
    "an escape in a name": f"witness a\x1b {V[0]}\nquorum none\n",
    "a delete in a comment": "# \x7f\nquorum none\n",
    "a byte order mark": "\ufeffquorum none\n",
    "a null as an octet": b"quorum none\n\x00",
    "a delete as an octet": b"quorum none\n\x7f",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_malformed_policy_is_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


@pytest.mark.parametrize("octet", sorted({*range(0x20), 0x7F} - {0x09, 0x0A}))
def test_a_control_octet_is_refused_wherever_it_stands(octet: int) -> None:
    letter = chr(octet)
    for text in (f"quorum none\n{letter}", f"# {letter}\nquorum none\n", f"quorum{letter}none\n"):
        with pytest.raises(PolicyError):
            parse_policy(text)
        with pytest.raises(PolicyError):
            parse_policy(text.encode())
