"""Who calls from CI, by the identity token of an OpenID Connect issuer instead of a stored secret.

`settings` is what a rule of the configuration says, `rules` what a rule makes of claims, `keys`
whom an issuer signs with, `fetching` how that is asked for, `identities` goes through a token step
by step. Signatures are PyJWT's and cryptography's business. What is made of the answer, a token of
ours, is `ingest.tokens`' business.

GitHub Actions, GitLab and Kubernetes are three sets of claims, not three programs: nothing here
knows one of them.
"""
