"""Secrets put together at run time, and honest texts, which the tests of privacy share.

Put together, so that no scanner of this repository finds a secret in it.
"""

import base64
import json

HEX = "0123456789abcdef" * 8
MIXED = "a1B2c3D4e5F6g7H8i9J0" * 6


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWT = ".".join((_b64({"alg": "HS256", "typ": "JWT"}), _b64({"sub": "1"}), MIXED[:43]))
PEM_HEAD = "-----BEGIN " + "{}PRIVATE KEY" + "-----"
PEM = PEM_HEAD.format("RSA ") + "\nMIIEowIBAAKCAQEA\n"
SNOWFLAKE = base64.b64encode(b"123456789012345678").decode()

SECRETS = {
    "an RSA key in PEM": (PEM, "a private key"),
    "a PKCS 8 key with literal line ends": (
        PEM_HEAD.format("") + r"\nMIIEvgIBADAN\n",
        "a private key",
    ),
    "an encrypted key": (PEM_HEAD.format("ENCRYPTED ") + "MIIE", "a private key"),
    "an OpenSSH key": (PEM_HEAD.format("OPENSSH ") + "b3BlbnNz", "a private key"),
    "a PGP key": ("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----", "a private key"),
    "a PEM key in base64": (base64.b64encode(PEM.encode()).decode(), "a private key"),
    "a PuTTY key": ("PuTTY-User" + "-Key-File-3: ssh-ed25519", "a private key"),
    "a service account of Google": (
        json.dumps({"type": "service_account", "private_key": PEM}),
        "a private key",
    ),
    "an age key": ("AGE-SECRET-" + "KEY-1" + "Q" * 58, "an age secret key"),
    "our own token": ("dmk_" + "0123456789ab_" + MIXED[:43], "a deploymark token"),
    "an AWS key": ("AKIA" + "Z7J2" * 4, "an AWS access key id"),
    "a temporary AWS key": ("ASIA" + "Z7J2" * 4, "an AWS access key id"),
    "a labelled AWS secret": ("aws_secret_access_key = " + MIXED[:40], "a secret key"),
    "a Google API key": ("AIza" + MIXED[:35], "a Google API key"),
    "a Google client secret": ("GOCSPX-" + MIXED[:28], "a Google OAuth client secret"),
    "a Google access token": ("ya29." + MIXED[:60], "a Google OAuth access token"),
    "an Azure connection string": (
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + MIXED[:86] + "==",
        "a secret key",
    ),
    "an Azure client secret": ("abc8" + "Q~" + MIXED[:34], "an Azure client secret"),
    "an Azure SAS": (
        "https://x.blob.core.windows.net/a?sv=2024-11-04&sig=" + MIXED[:40] + "%3D",
        "a signature in a URL",
    ),
    "a signed URL of S3": (
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=" + HEX[:64],
        "a signature in a URL",
    ),
    "a DigitalOcean token": ("dop_v1" + "_" + HEX[:64], "a DigitalOcean token"),
    "a Vault token": ("hvs" + "." + MIXED[:90], "a HashiCorp Vault token"),
    "a Terraform Cloud token": (
        MIXED[:14] + ".atlasv1" + "." + MIXED[:67],
        "a Terraform Cloud token",
    ),
    "a Pulumi token": ("pul-" + HEX[:40], "a Pulumi token"),
    "a Doppler token": ("dp.pt" + "." + MIXED[:43], "a Doppler token"),
    "a Tailscale key": ("tskey-" + "auth-" + MIXED[:30], "a Tailscale key"),
    "an Atlassian token": ("ATATT3" + "x" + MIXED[:80], "an Atlassian token"),
    "a Bitbucket token": ("ATBB" + MIXED[:32], "a Bitbucket token"),
    "an npm token": ("npm_" + MIXED[:36], "an npm token"),
    "a PyPI token": ("pypi-" + "AgEIcHlwaS5vcmc" + MIXED[:60], "a PyPI token"),
    "a RubyGems key": ("rubygems" + "_" + HEX[:48], "a RubyGems key"),
    "a Docker Hub token": ("dckr_pat" + "_" + MIXED[:27], "a Docker Hub token"),
    "a Buildkite token": ("bkua" + "_" + HEX[:40], "a Buildkite token"),
    "a CircleCI token": ("CCIPAT" + "_" + MIXED[:40], "a CircleCI token"),
    "a Slack app token": ("xapp-" + "1-A012345-" + MIXED[:20], "a Slack token"),
    "a Slack webhook": (
        "https://hooks.slack" + ".com/services/T00000000/B00000000/" + MIXED[:24],
        "a Slack webhook",
    ),
    "a Discord webhook": (
        "https://discord" + ".com/api/webhooks/123456789012345678/" + MIXED[:68],
        "a Discord webhook",
    ),
    "a Teams webhook": (
        "https://acme.webhook.office" + ".com/webhookb2/" + HEX[:32] + "@x",
        "a Teams webhook",
    ),
    "a Discord bot": (f"{SNOWFLAKE}." + "Gh1_aZ." + MIXED[:38], "a Discord bot token"),
    "a Telegram bot": ("123456789" + ":AA" + MIXED[:33], "a Telegram bot token"),
    "a Stripe key": ("sk_" + "live_" + MIXED[:24], "a Stripe key"),
    "a restricted Stripe key": ("rk_" + "test_" + MIXED[:24], "a Stripe key"),
    "a webhook signing secret": ("whsec" + "_" + MIXED[:32], "a webhook signing secret"),
    "a Shopify token": ("shpat" + "_" + HEX[:32], "a Shopify token"),
    "a SendGrid key": ("SG" + "." + MIXED[:22] + "." + MIXED[:43], "a SendGrid key"),
    "a Twilio key": ("SK" + HEX[:32], "a Twilio key"),
    "a New Relic key": ("NRAK" + "-" + "A1B" * 9, "a New Relic key"),
    "a Grafana token": ("glsa" + "_" + MIXED[:32] + "_" + HEX[:8], "a Grafana token"),
    "a Sentry token": ("sntrys" + "_" + MIXED[:60], "a Sentry token"),
    "a Datadog key": ("ddapp" + "_" + MIXED[:36], "a Datadog key"),
    "a Hugging Face token": ("hf" + "_" + MIXED[:34], "a Hugging Face token"),
    "an Anthropic key": ("sk-" + "ant-api03-" + MIXED[:95], "an API key"),
    "an OpenAI key": ("sk-" + MIXED[:48], "an API key"),
    "a JSON Web Token": (JWT, "a JSON Web Token"),
    "a password in a URL": ("postgres://app:" + "tr0ub4dor@db:5432/x", "a password in a URL"),
    "a password without a user": ("redis://:" + "tr0ub4dor@cache:6379", "a password in a URL"),
    "a token in a URL": ("https://" + MIXED[:20] + "@git.acme.dev/x", "a token in a URL"),
    "an access token in a query": ("https://x.dev/a?access_token=" + MIXED[:20], "a token"),
    "a bearer token": (
        "Authorization: Bearer " + MIXED[:30],
        "the value of an Authorization header",
    ),
    "basic credentials": (
        "curl -H 'Authorization: Basic " + MIXED[:20],
        "the value of an Authorization header",
    ),
    "an assigned password": ("psql password=" + "correcthorse", "a password"),
    "a password of an environment": ("PGPASSWORD=" + "hunter2", "a password"),
    "a glued password": ("dbPassword: " + "hunter27", "a password"),
    "a quoted password": ('{"password": "' + 'correcthorse"}', "a password"),
    "an assigned token": ("set token=" + MIXED[:24], "a token"),
    "an assigned secret": ("client_secret: " + MIXED[:24], "a secret"),
    "an assigned API key": ("X-Api-Key: " + HEX[:32], "a secret key"),
    "an npm authentication line": ("//npm.acme.dev/:_authToken=" + HEX[:36], "a token"),
    "an option of a command": ("deploy --api-token " + MIXED[:20] + " now", "a token"),
}
SECRETS |= {
    f"a GitHub token {prefix}": (prefix + "_" + MIXED[:36], "a GitHub token")
    for prefix in ("ghp", "gho", "ghs", "ghu", "ghr", "github_pat")
}
SECRETS |= {
    f"a GitLab token {prefix}": (prefix + "-" + MIXED[:20], "a GitLab token")
    for prefix in ("glpat", "gldt", "glrt", "glcbt", "glptt", "glagent", "gloas")
}
SECRETS |= {
    f"a Slack token {prefix}": (prefix + "-" + "123456789012-" + MIXED[:24], "a Slack token")
    for prefix in ("xoxb", "xoxp", "xoxa", "xoxs", "xoxr")
}

# What stands in honest markers and looks a little like the above.
HONEST = """
Rotate password policy to 90 days
Rotate the token: see the runbook
Fix token=… parsing
Fix token=null handling in the proxy
Fix token= without a value
Fix password=*** in the log
Mask password=<redacted> and secret=[hidden]
Read token=${{ secrets.DEPLOY_TOKEN }} from the vault
Use password=$DB_PASSWORD in the job
Use --password $DB_PASSWORD
Use --token from the vault
Set PGPASSWORD=DB_PASSWORD
Pass password=None to the driver
Pass password=get_password() to the driver
Pass token=self.token to the client
Replace secret=payments/db-credentials with secret=payments/db-v2
password: argon2id replaces bcrypt
password: bcrypt12 replaced by argon2id everywhere
passwords: require 12 characters
secret: rename to payments-db-v2
secrets: inherit
fix(token): refresh before it expires
token: add exponential backoff
feat(auth)!: drop basic authentication for OIDC
chore(deps): bump sk-learn from 1.2.0 to 1.3.0
chore(deps): bump npm from 10.8.2 to 10.9.0
Pin pypi-attestations to 0.0.27
Bump @scope/pkg@1.2.3
Bump user@2.0.0 and lodash@4.17.21
Bump actions/checkout@v4.2.1
Bump golang.org/x/mod@v0.17.0
Clone git@github.com:acme/shop.git
Clone ssh://git@github.com/acme/shop.git
Clone org-123@github.com:acme/shop.git
Deploy foo@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
Deploy registry.example.com:5000/shop/checkout:2.31.0
Deploy ghcr.io/acme/shop@sha256:aa23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
Restart getty@tty1.service and postgresql@14-main.service
Add icon@2x.png
Reset HEAD@{1}
Merge branch 'main' of github.com:acme/shop
Merge pull request #4711 from acme/feature/tax-2026
Revert "Enable the new tax rules" (CHG0012345)
PAY-1234: round half to even
JIRA-99 INC0099887 RITM0034567
Ship build 20261123.4+1204
Version 1.2.3+20261123
Version 1.0.0-rc.1+build.5
Change 1,204 lines: +1204 -339
Move the window to +02:00
Raise the limit by +10000000000
Shift port +15551 to 8443
Run at 2026-11-23T00:00:00+01:00
Trace 018f3c1e-7a8b-7c1d-9e2f-0a1b2c3d4e5f
Entry 01HZX3V8Q4N2M6K7J5T9R0S1W2
Marker m-01h2xcejqtf2nbrexx3vqjhp41
Instance pod/checkout-7c9d8f6b5-x2x4z
https://ci.example.com:8443/job/shop/17/?page=2&sort=desc
https://dev.azure.com/acme/shop/_build/results?buildId=20261123
https://github.com/acme/shop/compare/v1.0.0...v1.1.0
https://example.com/reset-password?step=2
https://user@dev.azure.com/acme/_git/shop
https://x-access-token:${TOKEN}@github.com/acme/shop
postgres://app:***@db:5432/shop
arn:aws:secretsmanager:eu-west-1:123456789012:secret:payments-db-AbC12d
arn:aws:iam::123456789012:role/deployer
projects/123456789012/secrets/payments-db/versions/7
deployer@shop-prod.iam.gserviceaccount.com
41898282+github-actions[bot]@users.noreply.github.com
12345+mona@users.noreply.github.com
noreply@github.com
Handle headers that begin with eyJhbGciOi
Parse -----BEGIN CERTIFICATE----- in the proxy
Accept a public key in PEM
Rename the private key file
Move api key handling into the gateway
Count tokens: max_tokens=4096
Set token_ttl=3600 and secret_version=18
Set PWD=/srv/shop before the hook
Add webhook for hooks.slack.com
Link discord.com/channels/123456789012345678
Tune the JWT cache, alg=ES256
Sign images with cosign, sig=none
Allow basic auth for the health page
Add bearer authentication to the proxy
Authorization: move to OPA
Region asia-east1 and ap-southeast-1 (sg)
Key rotation for kms alias/payments
Update AKIA prefix documentation
Rename ASIA region to APAC
Use sk-checkout-canary as the name
Compare gh_pages with ghp branch
Merge hotfix/glpat-docs
Correct typo in README
Fix the off-by-one in the pager
Add retries with jitter to the payment client
Scale checkout from 3 to 12 pods
Increase memory request to 512Mi
Enable feature new-basket for 5 % of users
Drop table orders_2019 after the expand step
Migrate schema 20261101 to 20261123
Use Node.js 22.11.0
Update Dockerfile to debian:12.8-slim
Support IPv6 fe80::1%eth0
Listen on [::1]:8080
Set cron 0 3 * * 1-5
Rename étage to Stockwerk
修复购物车的舍入错误
Исправить ошибку округления
Emergency: customers cannot pay
Approved in the change board of 2026-11-20
Roll back to 2.30.4 because of error rate 3.1 %
team:payments
oncall-payments
mona
@mona
octocat
kubernetes.io/hostname
app.kubernetes.io/version=2.31.0
v1.31.2-eks-7f9249a
ami-0abcdef1234567890
i-0123456789abcdef0
vpc-0a1b2c3d
run-1234567890-attempt-2
refs/heads/main
refs/pull/4711/merge
https://gitlab.example.com/acme/shop/-/pipelines/123456
https://github.com/acme/shop/actions/runs/1234567890/attempts/2
https://github.com/acme/shop/.github/workflows/deploy.yml@refs/heads/main
pkg:npm/%40scope/pkg@1.2.3
pkg:oci/shop@sha256%3A0123456789abcdef
spiffe://acme.dev/ns/shop/sa/checkout
sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
d41d8cd98f00b204e9800998ecf8427e
Support 0123-4567 article numbers
Order 4930901820 was lost
CVE-2026-12345 in libfoo 1.2.3-4+deb12u1
libssl3 3.0.15-1~deb12u1
Set ttl: 300 and pwd: unset
Set replicas=3, image.tag=2.31.0
Use tls1.3 only; password: sha256 is gone
Handle secret: null in values.yaml
Make password: optional
Add password strength meter
Show "Forgot password?" again
Limit login attempts to 5
Rename access_key_id to key_id
Sort by key=value pairs
Add CODEOWNERS for @acme/payments
Thank @octocat for the patch
Co-authored-by: Mona <12345+mona@users.noreply.github.com>
Signed-off-by: noreply@acme.dev
Deploy at 5pm (UTC+1)
Ratio 1:1000000000
Use C++20 and g++-14
Add +1 to the counter
Area +12 345 678 square metres
""".strip().splitlines()
