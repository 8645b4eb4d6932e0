"""Well-known formats of credentials, masked although nobody registered them.

Each has prefixes for the search automaton; its regular expression runs only where one of them was seen, and masks the
group that matched (the whole match without groups). All are linear: a start is never inside of a run that another start
scans, or the run has a bounded length.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class TokenFormat(NamedTuple):
    prefixes: tuple[bytes, ...]
    regex: re.Pattern[bytes]


def _format(regex: bytes, *prefixes: bytes) -> TokenFormat:
    return TokenFormat(prefixes, re.compile(regex))


#: The password of a URL, or all that stands before the @ when it begins with something as long as a token. Placeholders
#: ($PASSWORD, <password>, ***) and image digests are none. It also finds the slashes that JSON may escape.
USERINFO = _format(
    rb""":\\?/\\?/(?:([\w-]{20,}(?::[^\s/?#@"'<>\\]*)?)|[^\s/?#@:"'<>\\]*:([^\s/?#@"'<>\\$*{][^\s/?#@"'<>\\]*))"""
    rb"@(?!sha256:)",
    b"://",
    b":\\/",
    b":/\\/",
)

_B64_BREAK = rb"\s+(?:\d{1,6}(?:\xe2\x86\x92|[\t:|]) ?)?"  # with line numbers, as claude's Read tool writes them

FORMATS = (
    USERINFO,
    _format(
        rb"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9](?=[A-Za-z_.-]{0,40}[0-9])[A-Za-z0-9_.-]{28,}[A-Za-z0-9_-]",
        *(b"gh%c_" % kind for kind in b"pousr"),
    ),
    _format(rb"github_pat_[A-Za-z0-9_]{22,}", b"github_pat_"),
    _format(rb"(?<![A-Za-z0-9])sk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}", b"sk-ant-", b"sk-proj-", b"sk-svcacct-"),
    _format(rb"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{16,}", b"k_live_"),
    _format(rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])", b"AKIA", b"ASIA"),
    _format(
        rb"(?<![A-Za-z0-9])xox[a-z]-(?=[A-Za-z-]{0,40}[0-9])[A-Za-z0-9-]{10,}",
        *(b"xox%c-" % kind for kind in b"abeprs"),
    ),
    _format(rb"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?", b".eyJ"),
    _format(rb"(?<![A-Za-z0-9])gl(?:pat|rt|dt)-[\w-]{20,}(?:\.[\w-]+)*", b"glpat-", b"glrt-", b"gldt-"),
    _format(rb"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])", b"npm_"),
    _format(rb"(?<![A-Za-z0-9])dckr_pat_[\w-]{20,}", b"dckr_pat_"),
    _format(rb"(?<![A-Za-z0-9])AIza[\w-]{35}(?![\w-])", b"AIza"),
    _format(
        rb"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY-----"
        rb"(?:\s{1,9}[A-Z][A-Za-z-]{1,40}: [^\r\n]{0,200}(?=[\r\n])){0,4}"
        rb"(?:" + _B64_BREAK + rb"[A-Za-z0-9+/=]{40,})+"
        rb"(?:" + _B64_BREAK + rb"[A-Za-z0-9+/]+={0,2}(?=[ \t\r]*(?:\n|\Z)))?"
        rb"(?:" + _B64_BREAK + rb"-----END [A-Z0-9 ]{4,40}-----)?",
        b"PRIVATE KEY-----",
    ),
    # A value without a digit or an inner capital is prose about authorization.
    _format(
        rb"""(?i:authorization)["']?\s{0,9}[:=]\s{0,9}["']?(?i:bearer|basic|token)\s{1,9}"""
        rb"(?=.[\w.~+/=-]{0,99}?[A-Z0-9])([\w.~+/=-]{8,})",
        b"uthorization",
        b"UTHORIZATION",
    ),
)
