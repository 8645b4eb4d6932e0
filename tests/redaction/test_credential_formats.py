"""Well-known credentials are masked although nobody registered them, and what only resembles them is not."""

import json
import subprocess
import sys

import pytest

from agent.redaction.credential_formats import FORMATS, GATES
from agent.redaction.redactor import Redactor

A = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9n"  # 40 characters
BODY = "\n".join([A + A[:24]] * 3 + [A[:20] + "="])
PEM = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n-----END OPENSSH PRIVATE KEY-----"
PGP = f"-----BEGIN PGP PRIVATE |KEY BLOCK-----\nVersion: GnuPG v2\n\n{BODY}\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{A}"

# Put together here, so that no scanner takes this file for a leak.
TOKENS = [
    *(f"gh{kind}_" + A[:36] for kind in "pousr"),
    "github_" + "pat_" + A[:22] + "_" + A,
    "sk-" + "ant-api03-" + A + "-_" + A,
    "sk-" + "proj-" + A,
    "sk_" + "live_" + A[:24],
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "Y34FZKBOKMUTVV7A",
    "xox" + "b-123456789012-" + A[:24],
    JWT,
    "glpat-" + A[:20],
    "npm_" + A[:36],
    "dckr_" + "pat_" + A[:27],
    "AIza" + A[:35],
    PEM,
    PEM.replace("OPENSSH ", ""),
    PEM.replace("\n", "\r\n"),
]  # fmt: skip

HEX = "3f9a0c7e5b1d8264" * 8
UPPER = "Q7ZR2XK5VLW3TBN4" * 4
ID = "2f6d8c1a-9b3e-4f70-8a5d-6c1e9b7f2d04"

#: Of each format by its name: credentials, and what only resembles one. In two halves, so that no scanner takes this
#: file for a leak; `|` stands between them.
EXAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "password in a URL": (["|pa55w0rd"], []),  # within a URL: see PARTIAL
    "GitHub token": (
        [f"gh{kind}_|{A[:36]}" for kind in "pousr"],
        ["ghp_|short", "gho_|st_of_christmas_past_and_present_he"],
    ),
    "GitHub fine-grained token": ([f"github_|pat_{A[:22]}_{A}"], ["github_|pat_", "github_|pat_name"]),
    "GitLab token": (
        [f"{kind}-|{A[:20]}" for kind in ("glpat", "glptt", "glrt", "gldt", "glft", "glffct", "glimt", "glsoat")]
        + [f"glpat-|{A[:27]}.01.{A[:9].lower()}", f"glrt-|t1_{A[:30]}.0w.1a2b3c4d5", f"glcbt-|64_{A[:20]}"]
        + [f"glagent-|{A}{A[:10]}", f"gloas-|{HEX[:64]}"],
        ["glpat-|your-token", "glimpse-|of-the-world-that-is-not-here", "glad-|aB3dE6gH9jK2mN5pQ8sT"],
    ),
    "GitLab runner registration token": ([f"GR1348941|{A[:20]}"], ["GR1348941|"]),
    "Bitbucket app password": ([f"ATBB|{A[:32]}"], ["ATBB|short"]),
    "Azure DevOps token": ([f"{HEX[:76]}|AZDO3aB4"], ["AZDO|3aB4", f"{HEX[:30]}|AZDO3aB4"]),
    "Atlassian token": ([f"ATATT3|xFfGF0{A * 5}=1A2B3C4D", f"ATCTT3|xFfGF0{A * 4}"], ["ATATT3|xFfGF0"]),
    "Anthropic key": (
        [f"sk-|ant-api03-{A}-_{A}", f"sk-|ant-oat01-{A}", f"sk-|ant-admin01-{A}"],
        ["sk-|ant-", "task-|ant-hill-of-the-garden-wall"],
    ),
    "OpenAI key": ([f"sk-|{kind}-{A}" for kind in ("proj", "svcacct", "admin")], ["sk-|proj-name", "sk-|admin-panel"]),
    "OpenAI key without a kind": (
        [f"sk-|{A[:20]}T3BlbkFJ{A[:20]}"],
        ["T3Blbk|FJ", "risk-|averse-people-and-organisations"],
    ),
    "OpenRouter key": ([f"sk-|or-v1-{HEX[:64]}"], ["sk-|or-v1-key"]),
    "DeepSeek key": ([f"sk-|{HEX[:32]}"], [f"disk-|{HEX[:32]}", f"sk-|{HEX[:24]}"]),
    "Groq key": ([f"gsk_|{A}{A[:12]}"], ["gsk_|build"]),
    "xAI key": ([f"xai-|{A}{A}"], ["xai-|org/grok"]),
    "Perplexity key": ([f"pplx-|{A}{A[:8]}"], ["pplx-|api"]),
    "Replicate token": ([f"r8_|{A[:37]}"], ["r8_|unorm", "for8_|aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6k"]),
    "Hugging Face token": ([f"hf_|{A[:34]}"], ["hf_|hub_download", "hf_|transformers_cache_directory_name_x"]),
    "AWS access key id": (["AKIA|IOSFODNN7EXAMPLE", "ASIA|Y34FZKBOKMUTVV7A"], ["AKIA|short", f"AKIA|{UPPER[:20]}"]),
    "AWS secret access key": ([f"|{A[:20]}/{A[20:38]}+"], []),  # behind its name: see PARTIAL
    "Amazon Bedrock key": ([f"ABSK|QmVkcm9ja0FQSUtleS{A}{A}{A}="], ["ABSK|QmVkcm9j"]),
    "Google API key": ([f"AIza|{A[:35]}"], ["AIza|Sy"]),
    "Google access token": ([f"ya29|.a0AfB_{A}"], ["ya29|.token"]),
    "Google client secret": ([f"GOCSPX-|{A[:28]}"], ["GOCSPX-|secret"]),
    "Azure storage key": ([f"|{A}{A}{A[:6]}=="], []),
    "Azure shared access key": ([f"|{A}{A[:3]}="], []),
    "Azure client secret": ([f"aB3|8Q~{A[:34]}", f"x.~|8Q~{A[:31]}"], ["8|Q~short", f"8Q~|{A[:34]}"]),
    "Alibaba access key id": ([f"LTAI|{A[:20]}", f"LTAI|{A[:12]}"], ["LTAI|short"]),
    "Heroku key": ([f"HRKU-|AA{A}{A[:18]}", f"HRKU-|{ID}"], ["HRKU-|x"]),
    "PlanetScale token": ([f"pscale_|{kind}_{A}" for kind in ("tkn", "pw", "oauth")], ["pscale_|tkn_id"]),
    "Supabase token": ([f"sbp_|{HEX[:40]}"], ["sbp_|prefix"]),
    "DigitalOcean token": ([f"do{kind}_v1_|{HEX[:64]}" for kind in "por"], ["dop_v1_|token", f"api_v1_|{HEX[:64]}"]),
    "Databricks token": ([f"dapi|{HEX[:32]}", f"dapi|{HEX[:32]}-2"], ["dapi|", f"dapi|{HEX[:20]}"]),
    "Vault token": ([f"hvs|.CAESI{A}{A}", f"hvs|.{A[:24]}", f"hvb|.AAAAAQ{A}{A}{A}{A}"], ["hvs|.token"]),
    "Terraform token": ([f"{A[:14]}|.atlasv1.{A}{A[:27]}"], ["x.atlas|v1.y"]),
    "Pulumi token": ([f"pul-|{HEX[:40]}"], ["pul-|let"]),
    "Doppler token": (
        [f"dp.|{kind}.{A}{A[:3]}" for kind in ("pt", "ct", "sa", "scim")] + [f"dp.|st.prd.{A}{A[:3]}"],
        ["dp.|pt.x", "udp.|port"],
    ),
    "1Password service account token": ([f"ops_|eyJ{A}{A}{A}{A}"], ["ops_|eyJ"]),
    "age key": ([f"AGE-SECRET-|KEY-1{UPPER[:58]}"], ["AGE-SECRET-|KEY-1..."]),
    "private key": (
        [*(PEM.replace("OPENSSH ", kind).replace("BEGIN ", "BEGIN |") for kind in ("", "RSA ", "ENCRYPTED ")), PGP],
        ["-----BEGIN |PRIVATE KEY----- is the first line of a key.", "-----BEGIN PUBLIC |KEY-----\n" + BODY],
    ),
    "npm token": ([f"npm_|{A[:36]}"], ["npm_|config_registry"]),
    "PyPI token": ([f"pypi-|AgEIcHlwaS5vcmc{A}{A}", f"pypi-|AgENdGVzdC5weXBpLm9yZw{A}"], ["pypi-|AgEIcHlwaS5vcmc"]),
    "RubyGems key": ([f"rubygems_|{HEX[:48]}"], ["rubygems_|version"]),
    "Docker Hub token": ([f"dckr_|pat_{A[:27]}", f"dckr_|oat_{A[:32]}"], ["dckr_|pat_name"]),
    "Slack token": (
        [f"xox{kind}-|123456789012-{A[:24]}" for kind in "abceoprs"] + [f"xoxe.xoxp-|1-{UPPER}{UPPER}"],
        ["xoxb-|", "xoxo-|hugs-and-kisses"],
    ),
    "Slack app token": ([f"xapp-|1-A0123456789-1234567890123-{HEX[:64]}"], ["xapp-|1-manifest"]),
    "Slack webhook": ([f"|T0123ABCD/B0123ABCD/{A[:24]}"], []),
    "Discord webhook": ([f"|{A}{A[:28]}"], []),
    "Discord bot token": ([f"|MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{A[:27]}"], []),
    "Telegram bot token": (
        [f"123456789|:AAE{A[:32]}", f"1234567890|:AAH{A[:31]}-"],
        ["12:|AAE", f"12345|:AAE{A[:32]}"],
    ),
    "SendGrid key": ([f"SG|.{A[:22]}.{A}{A[:3]}"], ["MSG|.send.it", "SG|.short.key"]),
    "Mailgun key": ([f"key-|{HEX[:32]}"], ["key-|value", f"monkey-|{HEX[:32]}", f"key-|{HEX[:31]}"]),
    "Twilio key": ([f"SK|{HEX[:32]}"], []),
    "Stripe key": (
        [f"{kind}k_{mode}_|{A[:24]}" for kind in "rs" for mode in ("live", "test")],
        ["sk_|live_", "mock_test_|request"],
    ),
    "Stripe webhook secret": ([f"whsec_|{A[:32]}"], ["whsec_|..."]),
    "Square token": ([f"sq0|atp-{A[:22]}", f"sq0|csp-{A}{A[:3]}"], ["sq0|atp-x"]),
    "Figma token": ([f"figd_|{A}"], ["figd_|token"]),
    "Dynatrace token": ([f"dt0|c01.{UPPER[:24]}.{UPPER}"], ["dt0|c01.x"]),
    "Shopify token": ([f"shp{kind}_|{HEX[:32]}" for kind in ("at", "ca", "pa", "ss")], ["shp|at_x", "map.|shp"]),
    "Grafana token": ([f"glsa_|{A[:32]}_{HEX[:8]}"], ["glsa_|x"]),
    "Grafana Cloud token": ([f"glc_|eyJ{A}{A}=="], ["glc_|eyJ"]),
    "Grafana key": ([f"eyJr|Ijoi{A}{A}=="], ["eyJr|Ijoi"]),
    "New Relic key": ([f"NRAK-|{UPPER[:27]}"], ["NRAK-|x"]),
    "Sentry token": ([f"sntrys_|eyJ{A}{A}_{A}", f"sntryu_|{HEX[:64]}"], ["sntryu_|x", "sntrys_|eyJ"]),
    "Linear key": ([f"lin_|api_{A}", f"lin_|oauth_{HEX[:64]}"], ["lin_|alg", "lin_|api_key"]),
    "Notion token": ([f"ntn_|12345678901{A[:35]}"], ["ntn_|x"]),
    "Postman key": ([f"PMAK-|{HEX[:24]}-{HEX[:34]}"], ["PMAK-|x"]),
    "JSON web token": ([JWT.replace(".", "|.", 1)], ["eyJ|.eyJ", "data:application/json;base64,eyJ2|ZXJzaW9uIjozfQ=="]),
    "Authorization header": ([], []),
}  # fmt: skip

#: Text, and what of it is masked.
PARTIAL = [
    (f"aws_secret_access_key = {A}", A),
    (f"AWS_SECRET_ACCESS_KEY={A[:38]}/+", A[:38] + "/+"),
    (f'{{"SecretAccessKey": "{A[:39]}+"}}', A[:39] + "+"),
    (f"AccountName=me;AccountKey={A}{A}{A[:6]}==;EndpointSuffix=x", f"{A}{A}{A[:6]}=="),
    (f"SharedAccessKeyName=me;SharedAccessKey={A}{A[:3]}=", f"{A}{A[:3]}="),
    (f"https://hooks.slack.com/services/T0123ABCD/B0123ABCD/{A[:24]}", f"T0123ABCD/B0123ABCD/{A[:24]}"),
    (f"https://discord.com/api/webhooks/123456789012345678/{A}{A[:28]}", f"{A}{A[:28]}"),
    (f"https://discordapp.com/api/v10/webhooks/123456789012345678/{A}{A[:28]}", f"{A}{A[:28]}"),
    (f"DISCORD_TOKEN=MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{A[:27]}", f"MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{A[:27]}"),
    (f"TWILIO_API_KEY=SK{HEX[:32]}", f"SK{HEX[:32]}"),
    (f"https://api.telegram.org/bot123456789:AAE{A[:32]}/getMe", f"123456789:AAE{A[:32]}"),
    (f"Authorization: Bearer {A}", A),
    (f"authorization: basic {A}==", A + "=="),
    (f'{{"Authorization": "token {A}"}}', A),
    (f"AUTHORIZATION: basic {A}", A),
    ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("https://user:pa55word@example.com/x", "pa55word"),
    ("postgres://app:p%40ss@db:5432/x", "p%40ss"),
    (f"https://{A}@github.com/o/r", A),
    (f"https://{A}:x-oauth-basic@github.com/o/r", A + ":x-oauth-basic"),
    ("https://:onlypass1@host", "onlypass1"),
    (PEM.replace("\n", "\n   12\u2192"), PEM.replace("\n", "\n   12\u2192")),
    ("\n".join(PEM.split("\n")[:3]) + "\nThen it ended.", "\n".join(PEM.split("\n")[:3])),
]

ORDINARY = [
    "sk-", "task-force", "risk-averse", "eyJ", "eyJ.eyJ", "ghp_", "ghp_short", "github_pat_", "AKIA", "AKIAshort",
    "npm_config_registry", "xoxb-", "xoxo-hugs-and-kisses", "glpat-your-token",
    "528a7f2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f", "https://example.com:8080/a?b=c@d",
    "d94a8fcb-1b8c-4d0f-9a70-0d8d1c5d2b61", "git@github.com:o/r.git", "ssh://git@github.com/o/r",
    "https://git@github.com/o/r",
    "docker-pullable://nginx:1.21@sha256:6d701d83f2a1bb99efb7e6a60a1e4ba6c495bc5106c91709b0560d13a9bf8fb6",
    "https://user:$PASSWORD@host", "https://user:${TOKEN}@host", "https://user:<password>@host",
    "https://user:***@host", "http://localhost:3000", "file:///tmp/a@b",
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaP==",
    "claude-sonnet-4-5-20250929", "toolu_01A09q90qw90lq917835lq9", "msg_01XFDUDYJgAACzvnptvVoYEL",
]  # fmt: skip

PROSE = [
    "Authorization: Bearer <token>",
    "Authorization: Bearer $GITHUB_TOKEN", "Authorization: Basic authentication is used.",
    "the authorization: token of the user", "-----BEGIN PRIVATE KEY----- is the first line of a key.",
    "-----BEGIN CERTIFICATE-----\n" + BODY + "\n-----END CERTIFICATE-----",
]  # fmt: skip


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor({})


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
def test_tokens_are_masked(redactor: Redactor, token: str) -> None:
    for text in (token, f"TOKEN={token}\nand more", f"'{token}',", f"({token})"):
        assert redactor.text(text) == text.replace(token, "[redacted]")
        for depth in range(3):
            line = text
            for _ in range(depth):
                line = json.dumps({"a": line})
            masked = redactor.json(json.dumps({"text": line}).encode())
            assert token.split("\n")[-1][:10] not in masked.decode().partition("-----END")[0]
            inner = json.loads(masked)["text"]
            for _ in range(depth):
                inner = json.loads(inner)["a"]
            assert inner == text.replace(token, "[redacted]")


@pytest.mark.parametrize(("text", "masked"), PARTIAL)
def test_credentials_are_masked_within_what_carries_them(redactor: Redactor, text: str, masked: str) -> None:
    expected = text.replace(masked, "[redacted]")
    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected
    nested = json.dumps({"a": json.dumps({"b": text})})
    assert json.loads(json.loads(redactor.json(nested.encode()))["a"])["b"] == expected


@pytest.mark.parametrize("text", ORDINARY + PROSE)
def test_what_resembles_a_token_is_kept(redactor: Redactor, text: str) -> None:
    for line in (text, f"see {text}, or not"):
        assert redactor.text(line) == line
        data = json.dumps({"text": line}).encode()
        assert redactor.json(data) == data


def test_each_format_has_its_examples() -> None:
    assert {format.name for format in FORMATS} == set(EXAMPLES)
    assert len({format.name for format in FORMATS}) == len(FORMATS)


WITHOUT_CONTEXT = {
    "password in a URL", "AWS secret access key", "Azure storage key", "Azure shared access key", "Slack webhook",
    "Discord webhook", "Discord bot token", "Twilio key", "Authorization header",
}  # fmt: skip


def test_examples_in_need_of_a_context_are_among_the_partial_ones() -> None:
    for format in FORMATS:
        if format.name in WITHOUT_CONTEXT:
            assert any(format.regex.search(text.encode()) for text, _ in PARTIAL), format.name


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - WITHOUT_CONTEXT))
def test_a_credential_of_the_format_is_masked_and_a_likeness_is_not(redactor: Redactor, name: str) -> None:
    true, false = ([example.replace("|", "", 1) for example in examples] for examples in EXAMPLES[name])
    (format,) = (format for format in FORMATS if format.name == name)
    assert true
    assert false
    for example in true:
        match = format.regex.search(example.encode())
        assert match is not None
        assert any(stem in match[0] for stem in format.stems)
        for text in (example, f"TOKEN={example}\nand more", f"'{example}',", f"({example})", f'{{"a": "{example}"}}'):
            masked = redactor.text(text)
            assert masked == text.replace(example, "[redacted]")
            assert json.loads(redactor.json(json.dumps({"text": text}).encode()))["text"] == masked
    for example in false:
        assert redactor.text(f"see {example} or not") == f"see {example} or not"


@pytest.mark.parametrize("name", sorted(WITHOUT_CONTEXT))
def test_a_value_that_only_its_context_tells_is_kept_without_it(redactor: Redactor, name: str) -> None:
    for example in EXAMPLES[name][0]:
        assert redactor.text(f"see {example[1:]} or not") == f"see {example[1:]} or not"


def test_a_gate_lets_every_credential_through(redactor: Redactor) -> None:
    for true, _ in EXAMPLES.values():
        for example in true:
            text = example.replace("|", "", 1).encode()
            stems = [stem for format in FORMATS if format.regex.search(text) for stem in format.stems if stem in text]
            assert not stems or redactor.suspicious(text), text


def test_stems_are_few_enough_for_the_search() -> None:
    """One group of 64 that is fast, and one of 32 for short ones and such with a gate."""
    stems = {stem for format in FORMATS for stem in format.stems}
    plain = {stem for stem in stems if len(stem) > 3 and stem not in GATES}
    assert len(plain) <= 64
    assert len(stems - plain) < 32
    assert stems >= set(GATES)


def test_a_registered_prefix_breaks_nothing() -> None:
    redactor = Redactor({"A": "github_pat_", "B": "sk-ant-", "C": "-----BEGIN", "D": "Authorization"})
    for token in TOKENS:
        assert redactor.text(f"<{token}>") == "<[redacted]>"


def test_slashes_may_be_escaped(redactor: Redactor) -> None:
    assert redactor.json(rb'{"a":"https:\/\/me:pa55word@host\/x"}') == rb'{"a":"https:\/\/me:[redacted]@host\/x"}'


def test_the_source_of_the_standard_library_is_kept(redactor: Redactor) -> None:
    source = subprocess.run([sys.executable, "-c", "import inspect, json, http.client, email.message, subprocess as s;"
        "print(*map(inspect.getsource, (json, http.client, email.message, s)))"], check=True, capture_output=True,
        text=True).stdout  # fmt: skip
    assert redactor.text(source) == source
