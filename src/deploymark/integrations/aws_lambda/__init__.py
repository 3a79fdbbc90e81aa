"""AWS Lambda: what an alias leads to, and an alias that is brought to what was ordered.

`access` says which account, `api` is the API itself (the only module that imports boto3, and loaded
by `connecting` alone), `digests` reads what AWS says of code, `routing` where an alias leads. Over
them stand the two ports: `functions` the observer, `alias` the actuator. Functions are neither
invoked nor changed: only aliases are.
"""
