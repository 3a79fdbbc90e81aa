r"""What secrets look like that are known by their own form: keys and tokens with a prefix.

One table. A row is the kind that a refusal names, the *words* of which one stands in every such
secret, and the exact pattern. The words of all rows are looked up as a set, which decides for a
whole marker at once that there is nothing to look at (`privacy`). A few forms have no word; they
start with a capital, which is rare in a marker, and `CAPITALS` finds them. Secrets known by the
name beside them are in `secret_names`; this module walks no fields and raises nothing.

The formats are those that the issuers publish, with the lengths loosened: a token that was cut
or lengthened is still a token. Each pattern starts at a literal or at the edge of a word and
repeats single classes possessively. Where more must follow a run, the run is bounded, because
another match may start inside it; so each takes linear time on any input.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import NamedTuple

_PEM_CHARACTERS = 64
_RUN = re.compile("[a-z0-9]++")


class SecretShape(NamedTuple):
    """One kind of secret that is known by its form.

    Attributes:
        kind: What a refusal calls it, with its article.
        words: Runs of lower-case letters and digits, one of which stands in every match when its
            case is folded; none when `CAPITALS` finds it.
        pattern: Finds it.
        confirm: Looks at a match again where a pattern is not enough.
    """

    kind: str
    words: frozenset[str]
    pattern: re.Pattern[str]
    confirm: Callable[[str], bool] | None = None


def find_shape(text: str) -> str:
    """Return the kind of the first secret in a text by the order of the table, or ""."""
    words = set(_RUN.findall(text.lower()))
    for shape in SHAPES:
        if shape.words and words.isdisjoint(shape.words):
            continue
        for match in shape.pattern.finditer(text):
            if shape.confirm is None or shape.confirm(match[0]):
                return shape.kind
    return ""


def _is_token_header(token: str) -> bool:
    # Text that only begins like a JSON Web Token is common; its header says whether it is one.
    header = token.partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and "alg" in fields


def _is_private_pem(text: str) -> bool:
    # A certificate in base64 begins with the same letters.
    head = text[:_PEM_CHARACTERS]
    return b"PRIVATE KEY" in base64.b64decode(head[: len(head) // 4 * 4])


def _is_snowflake(token: str) -> bool:
    # The first part of a bot token is the number of the bot in base64.
    first = token.partition(".")[0]
    try:
        return base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).isdigit()
    except binascii.Error:
        return False


def _is_mixed(token: str) -> bool:
    return any(map(str.isdigit, token)) and any(map(str.isalpha, token[3:]))


def _shape(
    kind: str,
    words: str,
    pattern: str,
    confirm: Callable[[str], bool] | None = None,
    *,
    within: bool = False,
) -> SecretShape:
    # Within a longer word the letters of a prefix mean nothing, unless they stand in the middle.
    start = "" if within else "(?<![A-Za-z0-9])"
    compiled = re.compile(f"{start}(?:{pattern})")
    return SecretShape(kind, frozenset(words.split()), compiled, confirm)


_W = "[A-Za-z0-9_-]"
_A = "[A-Za-z0-9]"

_STARTS = (
    "(?<=A)(?:KIA|SIA|BIA|CCA|Iza|TATT3|TBB)",  # AWS, Google, Atlassian, Bitbucket
    "(?<=:A)A[A-Za-z0-9_-]{33}",  # Telegram
    "(?<=eyJ)",  # JSON Web Token
    "(?<=L)S0tLS1CRUdJTi",  # a PEM header in base64
    r"(?<=[MNO])[A-Za-z0-9]{22,27}\.",  # Discord
    "(?<=Q)~[A-Za-z0-9_~.-]{30}",  # Azure
    "(?<=S)K[0-9a-f]{32}",  # Twilio
)
CAPITALS = f"[AJLMNOQS](?:{'|'.join(_STARTS)})"
"""How secrets begin that have no word of their own.

All have a capital letter, rare in a marker: a search that starts with one set of letters skips
the rest of a text several times faster than one that starts with alternatives.
"""

SHAPES: tuple[SecretShape, ...] = (
    # Keys ----------------------------------------------------------------------------------------
    _shape("a private key", "begin", r"-----BEGIN [A-Z0-9 ]{0,40}+(?<=PRIVATE KEY)", within=True),
    _shape("a private key", "begin", "-----BEGIN PGP PRIVATE KEY BLOCK", within=True),
    _shape("a private key", "", r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{30,}+", _is_private_pem),
    _shape("a private key", "putty", r"PuTTY-User-Key-File-\d"),
    _shape("an age secret key", "age", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{20,}+"),
    # This project --------------------------------------------------------------------------------
    _shape("a deploymark token", "dmk", rf"dmk_[0-9a-z]{{12}}_{_W}{{20,}}+"),
    # Clouds --------------------------------------------------------------------------------------
    _shape("an AWS access key id", "", r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _shape("a Google API key", "", rf"AIza{_W}{{35}}"),
    _shape("a Google OAuth client secret", "gocspx", rf"GOCSPX-{_W}{{20,}}+"),
    _shape("a Google OAuth access token", "ya29", rf"ya29\.{_W}{{20,}}+"),
    _shape("an Azure client secret", "", r"\dQ~[A-Za-z0-9_~.-]{30,}+", within=True),
    _shape("a DigitalOcean token", "doo dop dor", r"do[opr]_v1_[0-9a-f]{32,}+"),
    _shape("a HashiCorp Vault token", "hvs hvb hvr", rf"hv[sbr]\.{_W}{{20,}}+"),
    _shape("a Terraform Cloud token", "atlasv1", rf"\.atlasv1\.{_W}{{30,}}+", within=True),
    _shape("a Pulumi token", "pul", r"pul-[0-9a-f]{40}"),
    _shape("a Doppler token", "dp", rf"dp\.[a-z]{{2,5}}\.{_W}{{30,}}+"),
    _shape("a Tailscale key", "tskey", rf"tskey-{_W}{{20,}}+"),
    # Code hosts, registries, pipelines -----------------------------------------------------------
    _shape("a GitHub token", "gho ghp ghr ghs ghu", rf"gh[oprsu]_{_A}{{20,}}+"),
    _shape("a GitHub token", "pat", r"github_pat_[A-Za-z0-9_]{20,}+"),
    _shape(
        "a GitLab token",
        "glpat gloas gldt glrt glrtr glcbt glptt glft glimt glagent glwt glsoat glffct",
        r"gl(?:pat|oas|dt|rtr?|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[A-Za-z0-9_=.-]{20,}+",
    ),
    _shape("an Atlassian token", "", r"ATATT3[A-Za-z0-9_=-]{30,}+"),
    _shape("a Bitbucket token", "", rf"ATBB{_A}{{28,}}+"),
    _shape("an npm token", "npm", rf"npm_{_A}{{30,}}+"),
    _shape("a PyPI token", "pypi", rf"pypi-AgE{_W}{{16,}}+"),
    _shape("a RubyGems key", "rubygems", r"rubygems_[0-9a-f]{40,}+"),
    _shape("a Docker Hub token", "dckr", rf"dckr_[op]at_{_W}{{20,}}+"),
    _shape("a Buildkite token", "bkua", rf"bkua_{_A}{{32,}}+"),
    _shape("a CircleCI token", "ccipat", rf"CCIPAT_{_W}{{20,}}+"),
    # Messages, payments, observability, models ---------------------------------------------------
    _shape(
        "a Slack token",
        "xoxa xoxb xoxc xoxd xoxe xoxo xoxp xoxr xoxs",
        rf"xox[a-eoprs][-.]{_W}{{10,}}+",
    ),
    _shape("a Slack token", "xapp", rf"xapp-\d-{_W}{{10,}}+"),
    _shape(
        "a Slack webhook",
        "hooks",
        r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}+",
    ),
    _shape(
        "a Discord webhook",
        "discord discordapp",
        rf"discord(?:app)?\.com/api/(?:v\d{{1,3}}/)?webhooks/\d{{10,}}+/{_W}{{30,}}+",
    ),
    _shape(
        "a Teams webhook",
        "webhook",
        r"webhook\.office\.com/webhookb?2?/[A-Za-z0-9@/-]{20,}+",
    ),
    _shape(
        "a Discord bot token",
        "",
        rf"[MNO][A-Za-z0-9]{{22,27}}+\.{_W}{{6}}\.{_W}{{27,}}+",
        _is_snowflake,
    ),
    _shape("a Telegram bot token", "", rf"\d{{8,10}}+:AA{_W}{{33}}"),
    _shape("a Stripe key", "sk rk", rf"[sr]k_(?:live|test)_{_A}{{10,}}+"),
    _shape("a webhook signing secret", "whsec", r"whsec_[A-Za-z0-9+/]{20,}+"),
    _shape("a Shopify token", "shpat shpca shppa shpss", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _shape("a SendGrid key", "sg", rf"SG\.{_W}{{16,64}}+\.{_W}{{16,}}+"),
    _shape("a Twilio key", "", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    _shape("a New Relic key", "nrak nrii nriq nrra", rf"NR(?:AK|II|IQ|RA)-{_W}{{20,}}+"),
    _shape("a Grafana token", "glsa glc", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}+"),
    _shape("a Sentry token", "sntrys sntryu", r"sntry[su]_[A-Za-z0-9+/=_]{30,}+"),
    _shape("a Datadog key", "ddapp ddpat ddoat", rf"dd(?:app|pat|oat)_{_A}{{30,}}+"),
    _shape("a Hugging Face token", "hf", rf"hf_{_A}{{30,}}+"),
    _shape("an API key", "sk", rf"sk-(?:ant|proj|svcacct|admin|or)-{_W}{{20,}}+", _is_mixed),
    _shape("an API key", "sk", rf"sk-{_A}{{32,}}+", _is_mixed),
    # Last, because a token of another kind may carry one.
    _shape("a JSON Web Token", "", rf"eyJ{_W}{{8,1024}}+\.{_W}{{2,4096}}+\.", _is_token_header),
)
"""Every kind of secret known by its form."""
