r"""Secrets that are known by what stands beside them: `password=…`, `user:…@host`, `?sig=…`.

A name alone is no secret ("rotate the token"), and much that follows a name is none: a
placeholder, the name of a variable, a reference into a vault, a word of a sentence. What is
refused here therefore depends on the value, by rules that prefer to miss a weak secret over
refusing an honest sentence. Secrets known by their own form are in `secret_shapes`.

Every expression starts at a literal or at the edge of a word and repeats bounded or possessive
classes, so that it takes linear time on any input.
"""

import re

_PASSWORD = r"passw(?:or)?d|passwort|passphrase|pwd"  # noqa: S105 - names
_KEY = r"(?:api|access|account|secret|private|shared[-_]?access)[-_. ]?key"
_NAMES = rf"{_PASSWORD}|secret|token|credentials?|{_KEY}"

_ENDS_IN_NAME = re.compile(rf"(?i)(?:{_NAMES})\Z")
_ASSIGNED = re.compile(
    rf"(?i)(?P<name>{_NAMES})(?P<quote>\\?[\"'`])?"
    r"[ \t]{0,2}(?P<sign>=>|:=|={1,2}|:)[ \t]{0,2}"
    r"(?:\\?[\"'`])?(?P<value>[^\s\"'`,;&|\\]{1,512})"
)
_OPTION = re.compile(
    rf"(?i)--(?:[a-z]{{1,20}}-){{0,3}}+(?P<name>{_NAMES})[ \t]+(?P<value>\S{{1,512}})"
)
_USER_INFO = re.compile(r"://(?P<user>[^\s/?#@:\"']{0,256})(?::(?P<value>[^\s/@\"']{0,512}))?@")
_QUERY = re.compile(
    r"(?i)[?&;](?:amp;)?(?:sig|auth|jwt|(?:x-amz-|x-goog-)?signature)=(?P<value>[^\s&#\"']{8,512})"
)
_HEADER = re.compile(
    r"(?i)\b(?:(?:proxy-)?authorization[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"']?(?:[a-z0-9-]{1,20}+ )?"
    r"|(?:bearer|basic) )(?P<value>[A-Za-z0-9+/_.~=-]{8,512})"
)

WORDS = frozenset({"accesskey", "accountkey", "apikey", "auth", "authorization", "basic", "bearer"})
WORDS |= {"credential", "credentials", "jwt", "passphrase", "passwd", "passwort", "privatekey"}
WORDS |= {"pwd", "secretkey", "sig", "signature"}
"""Words of which one stands in most of what this module finds."""

PARTS = (b"assword", b"ecret", b"oken")
"""Parts of words that do the same; they are looked for within longer ones such as `dbPassword`."""

KEYS = frozenset({b"access", b"account", b"api", b"private"})
"""Words that do the same together with the word `key`, as in `api_key`."""

ENDINGS = (b"ey=", b"EY=", b"wd=", b"WD=")
"""The same for names in one word, before anything is folded."""

_PLACEHOLDER = re.compile(
    r"(?i)\*++|x{3,}+|\.{2,}+|…|•++|[<\[{(%].*|\$[({a-z_].*|#\{.*|@.*"
    r"|(?:re|un)?(?:set|moved|dacted|moving)|true|false|on|off|yes|no|none|null|nil|undefined|empty"
    r"|hidden|masked|enabled|disabled|required|optional|inherit|(?:un)?changed|rotated|expired"
    r"|example|placeholder|secret|token|password|passwd|string|str|int|bool|bytes|value|type|text"
    r"|your[-_].*|.*…"
)
_CODE = re.compile(
    r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+[(\[].*"  # a call: get_password()
    r"|[a-z_]\w*+(?:\.[a-z_]\w*+)++"  # an attribute: self.password
    r"|[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)++"  # the name of a variable: DB_PASSWORD
    r"|[/~].*"  # a path: PWD=/srv
)
_REFERENCE = re.compile(
    r"(?:[a-z][a-z0-9+.-]{1,20}:.*"  # arn:…, sha256:…, op://…, https://…
    r"|[a-z]{1,3}-[0-9a-hjkmnp-tv-z]{26}"  # an id of this project
    r"|v?\d++(?:\.\d++)++\S*)"  # a version
)
_ALGORITHM = re.compile(
    r"(?i)(?:argon2|pbkdf2|bcrypt|scrypt|sha|md5|aes|hs|rs|es|ps|ed25519|oauth2|base64|utf|tls|http"
    r"|k8s|ipv)[a-z0-9-]{0,16}"
)
_SEPARATOR = re.compile(r"[-_./]")
_PROSE_LETTERS = 6
_TOKEN_LETTERS = 8
_ASSIGNED_LETTERS = 4
_OPAQUE_LETTERS = 16
_NAME_PART_LETTERS = 10
_BEFORE = 128

_KINDS = {
    "pass": "a password",
    "pwd": "a password",
    "secr": "a secret",
    "toke": "a token",
    "cred": "credentials",
}


def find_named(text: str) -> str:
    """Return the kind of the first secret that its surroundings give away, or ""."""
    return _find_in_url(text) or _find_in_header(text) or _find_assigned(text)


def _find_in_url(text: str) -> str:
    for match in _USER_INFO.finditer(text):
        if match["value"] and not _PLACEHOLDER.fullmatch(match["value"]):
            return "a password in a URL"
        if not match["value"] and _is_opaque(match["user"], _OPAQUE_LETTERS):
            return "a token in a URL"
    for match in _QUERY.finditer(text):
        if _is_opaque(match["value"], _TOKEN_LETTERS):
            return "a signature in a URL"
    return ""


def _find_in_header(text: str) -> str:
    for match in _HEADER.finditer(text):
        if _is_opaque(match["value"], _TOKEN_LETTERS):
            return "the value of an Authorization header"
    return ""


def _find_assigned(text: str) -> str:
    for match in _ASSIGNED.finditer(text):
        if _is_assigned(match, text):
            return _kind(match["name"])
    for match in _OPTION.finditer(text):
        if _is_opaque(match["value"], _PROSE_LETTERS):
            return _kind(match["name"])
    return ""


def find_pair(name: str, value: str) -> str:
    """Return the kind of secret that a value is under its name, or "".

    Args:
        name: A key of a map, or the key of a setting.
        value: What stands under it.
    """
    match = _ENDS_IN_NAME.search(name[-_BEFORE:])
    if match is None:
        return ""
    return _kind(match[0]) if _is_secret(match[0], value.strip()) else ""


def _kind(name: str) -> str:
    return _KINDS.get(name[:4].lower(), _KINDS.get(name[:3].lower(), "a secret key"))


def _is_assigned(match: re.Match[str], text: str) -> bool:
    name, value = match["name"], match["value"].rstrip(".)]}>")
    if match["sign"] == ":" and not match["quote"]:
        before = text[max(0, match.start() - _BEFORE) : match.start()].rpartition(" ")[2]
        if "arn:" in before:
            return False
        # "password: argon2id replaces bcrypt" is a sentence.
        least = _PROSE_LETTERS if _is_password(name) else _TOKEN_LETTERS
        return _is_opaque(value, least) and not _ALGORITHM.fullmatch(value)
    return _is_secret(name, value)


def _is_secret(name: str, value: str) -> bool:
    if _is_password(name):
        # People choose words as passwords, so that any value counts.
        return (
            len(value) >= _ASSIGNED_LETTERS
            and _PLACEHOLDER.fullmatch(value) is None
            and _CODE.fullmatch(value) is None
            and "://" not in value
        )
    return _is_opaque(value, _TOKEN_LETTERS)


def _is_password(name: str) -> bool:
    return name[:1] in "pP" and name[:2].lower() != "pr"


def _is_opaque(value: str, least: int) -> bool:
    """Tell whether a value looks made by chance: letters and digits, and no name or reference."""
    return (
        len(value) >= least
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and not _is_name(value)
        and not any(each.fullmatch(value) for each in (_PLACEHOLDER, _CODE, _REFERENCE))
    )


def _is_name(value: str) -> bool:
    """Tell whether a value is a name like `payments-db-v2`, the usual name of a stored secret."""
    first, *rest = _SEPARATOR.split(value)
    parts = all(
        part.isalpha() or part.isdigit() or len(part) <= _NAME_PART_LETTERS for part in rest
    )
    return bool(rest) and first.isalpha() and value == value.lower() and parts
