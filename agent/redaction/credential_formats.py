"""Formats of well-known credentials, which are masked although nobody registered them.

Each format has stems: short pieces of which at least one stands in every credential of the format. The redactor
searches for stems; a format's regular expression runs only on a text that holds one of them, and what its group matched
is masked (the whole match, if it has no group).

Stems are scarce: a search takes 64 keys at a time (see `search`), so that with more stems than that a run without
registered secrets would search each line once more. Formats therefore share stems, and a stem that is too short to be
rare has a gate. A stem of three bytes is for a format that has no longer one, or saves several longer ones.

Every expression takes linear time: a start is never inside a run that another start scans, or the run is bounded. None
is possessive or atomic, because CPython 3.11.0 to 3.11.4 match those wrongly.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class CredentialFormat(NamedTuple):
    """A kind of credential: its form, and a piece of it to look for first."""

    name: str
    regex: re.Pattern[bytes]
    stems: tuple[bytes, ...]


def _format(name: str, regex: bytes, *stems: bytes) -> CredentialFormat:
    return CredentialFormat(name, re.compile(regex), stems)


def _token(name: str, body: bytes, *stems: bytes) -> CredentialFormat:
    """A token that does not begin within a longer word, and does not end in one where its length is fixed."""
    end = b"" if body.endswith((b",}", b")*")) else rb"(?![A-Za-z0-9])"
    return _format(name, rb"(?<![A-Za-z0-9])" + body + end, *stems)


#: The password of a URL, or all that stands before the @ when it begins with something as long as a token. Placeholders
#: ($PASSWORD, <password>, ***) and image digests are none. Slashes may be escaped, as JSON allows.
USERINFO = _format(
    "password in a URL",
    rb""":\\?/\\?/(?:([\w-]{20,}(?::[^\s/?#@"'<>\\]*)?)|[^\s/?#@:"'<>\\]*:([^\s/?#@"'<>\\$*{][^\s/?#@"'<>\\]*))"""
    rb"@(?!sha256:)",
    b"://",
    b":\\/",
    b":/\\/",
)

_BASE64_BREAK = rb"\s+(?:\d{1,6}(?:\xe2\x86\x92|[\t:|]) ?)?"  # with line numbers, as claude's Read tool writes them

PRIVATE_KEY = _format(
    "private key",
    rb"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:\s{1,9}[A-Z][A-Za-z-]{1,40}: [^\r\n]{0,200}(?=[\r\n])){0,4}"
    rb"(?:" + _BASE64_BREAK + rb"[A-Za-z0-9+/=]{40,})+"
    rb"(?:" + _BASE64_BREAK + rb"[A-Za-z0-9+/]+={0,2}(?=[ \t\r]*(?:\n|\Z)))?"
    rb"(?:" + _BASE64_BREAK + rb"=[A-Za-z0-9+/]{4}(?=[ \t\r]*(?:\n|\Z)))?"
    rb"(?:" + _BASE64_BREAK + rb"-----END [A-Z0-9 ]{4,40}-----)?",
    b"PRIVATE KEY",
)

#: A value without a digit or an inner capital is prose about authorization.
AUTHORIZATION = _format(
    "Authorization header",
    rb"""(?i:authorization)["']?\s{0,9}[:=]\s{0,9}["']?(?i:bearer|basic|token|ssws)\s{1,9}"""
    rb"(?=.[\w.~+/=-]{0,99}?[A-Z0-9])([\w.~+/=-]{8,})",
    b"uthorization",
    b"UTHORIZATION",
)

_IS = rb"""["']?\s{0,9}(?:=>|[:=])\s{0,9}["']?"""  # between the name of a value and the value, in any language

_CODE_HOSTS = (
    _token(
        "GitHub token",
        rb"gh[pousr]_[A-Za-z0-9](?=[A-Za-z_.-]{0,40}[0-9])[A-Za-z0-9_.-]{28,}[A-Za-z0-9_-]",
        *(b"gh%c_" % kind for kind in b"pousr"),
    ),
    _format("GitHub fine-grained token", rb"github_pat_[A-Za-z0-9_]{22,}", b"github_pat_"),
    _token(
        "GitLab token",
        rb"gl(?:pat|ptt|rt|dt|cbt|ffct|ft|imt|agent|oas|soat)-[\w-]{20,}(?:\.[\w-]+)*",
        b"glp", b"glr", b"gld", b"glcb", b"glf", b"glim", b"glag", b"gloa", b"gls",
    ),
    _token("GitLab runner registration token", rb"GR1348941[\w-]{20,}", b"GR1348941"),
    _token("Bitbucket app password", rb"ATBB[A-Za-z0-9]{32}", b"ATBB"),
    _token("Azure DevOps token", rb"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", b"AZDO"),
    _token("Atlassian token", rb"AT[A-Z]TT3[\w=-]{100,}", b"TT3"),
)  # fmt: skip

_MODELS = (
    _token("Anthropic key", rb"sk-ant-[\w-]{20,}", b"sk-"),
    _token("OpenAI key", rb"sk-(?:proj|svcacct|admin)-[\w-]{20,}", b"sk-"),
    _token("OpenAI key without a kind", rb"sk-[\w-]{20,200}T3BlbkFJ[\w-]{20,}", b"sk-"),
    _token("OpenRouter key", rb"sk-or-v1-[0-9a-f]{64}", b"sk-"),
    _token("Groq key", rb"gsk_[A-Za-z0-9]{40,}", b"gsk_"),
    _token("xAI key", rb"xai-[A-Za-z0-9]{60,}", b"xai-"),
    _token("Perplexity key", rb"pplx-[A-Za-z0-9]{40,}", b"pplx-"),
    _token("Replicate token", rb"r8_[A-Za-z0-9]{37}", b"r8_"),
    _token("DeepSeek key", rb"sk-[0-9a-f]{32}", b"sk-"),
    _token("Hugging Face token", rb"hf_[A-Za-z0-9]{34}", b"hf_"),
)

_CLOUDS = (
    _token("AWS access key id", rb"(?:AKIA|ASIA)[A-Z2-7]{16}", b"AKIA", b"ASIA"),
    _format(
        "AWS secret access key",
        rb"(?i:secret_?access_?key)" + _IS + rb"([A-Za-z0-9+/]{40})(?![A-Za-z0-9+/=])",
        b"ccess_key", b"CCESS_KEY", b"ccessKey",
    ),
    _token("Amazon Bedrock key", rb"ABSK[A-Za-z0-9+/]{100,}={0,2}", b"ABSK"),
    _token("Google API key", rb"AIza[\w-]{35}(?![\w-])", b"AIza"),
    _token("Google access token", rb"ya29\.[\w.-]{20,}", b"ya29."),
    _token("Google client secret", rb"GOCSPX-[\w-]{28}(?![\w-])", b"GOCSPX-"),
    _format("Azure storage key", rb"AccountKey=([A-Za-z0-9+/]{86}==)", b"AccountKey"),
    _format("Azure shared access key", rb"SharedAccessKey=([A-Za-z0-9+/]{43}=)", b"ccessKey"),
    _format(
        "Azure client secret",
        rb"(?<![\w~.-])[\w~.]{3}8Q~[\w~.-]{31,34}(?![\w~.-])",
        b"8Q~",
    ),
    _token("Alibaba access key id", rb"LTAI[A-Za-z0-9]{12,20}", b"LTAI"),
    _token("Heroku key", rb"HRKU-[\w-]{36,}", b"HRKU-"),
    _token("PlanetScale token", rb"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,}", b"pscale_"),
    _token("Supabase token", rb"sbp_[0-9a-f]{40}", b"sbp_"),
    _token("DigitalOcean token", rb"do[opr]_v1_[0-9a-f]{64}", b"dop_v1_", b"doo_v1_", b"dor_v1_"),
    _token("Databricks token", rb"dapi[0-9a-f]{32}(?:-\d)?", b"dapi"),
)  # fmt: skip

_SECRET_STORES = (
    _token("Vault token", rb"hv[sb]\.[\w-]{24,}", b"hvs.", b"hvb."),
    _token("Terraform token", rb"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}", b"atlasv1"),
    _token("Pulumi token", rb"pul-[0-9a-f]{40}", b"pul-"),
    _token(
        "Doppler token",
        rb"dp\.(?:pt|ct|st|sa|scim)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
        b"dp.",
    ),
    _token("1Password service account token", rb"ops_eyJ[A-Za-z0-9+/_-]{100,}={0,3}", b"eyJ"),
    _token("age key", rb"AGE-SECRET-KEY-1[A-Z0-9]{58}", b"AGE-SECRET-KEY-"),
    PRIVATE_KEY,
)  # fmt: skip

_PACKAGES = (
    _token("npm token", rb"npm_[A-Za-z0-9]{36}", b"npm_"),
    _token("PyPI token", rb"pypi-Ag[\w-]{50,}", b"pypi-Ag"),
    _token("RubyGems key", rb"rubygems_[0-9a-f]{48}", b"rubygems_"),
    _token("Docker Hub token", rb"dckr_[op]at_[\w-]{20,}", b"dckr_"),
)

_MESSAGES = (
    _token("Slack token", rb"(?:xoxe\.)?xox[a-z]-(?=[A-Za-z-]{0,40}[0-9])[A-Za-z0-9-]{10,}", b"xox"),
    _token("Slack app token", rb"xapp-\d-[A-Z0-9]{6,20}-\d{6,20}-[a-z0-9]{20,}", b"xapp-"),
    _format(
        "Slack webhook",
        rb"hooks\.slack(?:-gov)?\.com\\?/(?:services|workflows|triggers)\\?/([A-Za-z0-9+/\\]{40,})",
        b"hooks.slack",
    ),
    _format(
        "Discord webhook",
        rb"discord(?:app)?\.com\\?/api\\?/(?:v\d{1,2}\\?/)?webhooks\\?/\d{15,21}\\?/([\w-]{50,})",
        b"iscord",
    ),
    _format(
        "Discord bot token",
        rb"(?<![\w-])[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])",
        b"iscord",
        b"ISCORD",
    ),
    _format("Telegram bot token", rb"(?<!\d)\d{8,10}:AA[\w-]{32,34}(?![\w-])", b":AA"),
    _token("SendGrid key", rb"SG\.[\w-]{16,32}\.[\w-]{16,64}", b"SG."),
    _token("Mailgun key", rb"key-[0-9a-f]{32}", b"key-"),
    _token("Twilio key", rb"SK[0-9a-f]{32}", b"wilio", b"WILIO"),
)

_SERVICES = (
    _token("Stripe key", rb"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", b"k_live_", b"k_test_"),
    _token("Stripe webhook secret", rb"whsec_[A-Za-z0-9+/]{32,}", b"whsec_"),
    _token("Square token", rb"sq0(?:atp|csp)-[\w-]{22,}", b"sq0"),
    _token("Figma token", rb"figd_[\w-]{40}", b"figd_"),
    _token("Dynatrace token", rb"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}", b"dt0"),
    _token("Shopify token", rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", b"shp"),
    _token("Grafana token", rb"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}", b"gls"),
    _token("Grafana Cloud token", rb"glc_eyJ[A-Za-z0-9+/]{28,}={0,3}", b"eyJ"),
    _token("Grafana key", rb"eyJrIjoi[A-Za-z0-9]{60,}={0,3}", b"eyJ"),
    _token("New Relic key", rb"NRAK-[\w-]{19,}", b"NRAK-"),
    _token("Sentry token", rb"sntry(?:s_eyJ[\w+/=-]{20,}|u_[0-9a-f]{64})", b"eyJ", b"ntryu_"),
    _token("Linear key", rb"lin_(?:api|oauth)_[A-Za-z0-9]{40,}", b"lin_"),
    _token("Notion token", rb"ntn_[0-9]{11}[A-Za-z0-9]{35}", b"ntn_"),
    _token("Postman key", rb"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", b"PMAK-"),
    _format("JSON web token", rb"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?", b"eyJ"),
    AUTHORIZATION,
)  # fmt: skip

FORMATS = (USERINFO, *_CODE_HOSTS, *_MODELS, *_CLOUDS, *_SECRET_STORES, *_PACKAGES, *_MESSAGES, *_SERVICES)

#: What has to match where a stem begins, for those that ordinary output holds too: then nothing has to be decoded.
GATES = {
    **dict.fromkeys(USERINFO.stems, USERINFO.regex),
    b"sk-": re.compile(rb"sk-(?:ant|proj|svcacct|admin|or-v1)-|sk-[\w-]{20}"),
    b"key-": re.compile(rb"key-[0-9a-f]{32}"),
    b"dp.": re.compile(rb"dp\.(?:pt|ct|st|sa|scim)\."),
    b"eyJ": re.compile(rb"(?<=[._])eyJ|eyJrIjoi"),
    b"SG.": re.compile(rb"SG\.[\w-]{16}"),
}
