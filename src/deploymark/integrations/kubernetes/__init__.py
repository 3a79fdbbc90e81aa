"""Kubernetes: who runs in a cluster, and a Deployment that is brought to what was ordered.

`images` reads references and image ids, `objects` is what we read of the API's objects, `api` is
the API itself (the only module that imports lightkube, and loaded by `connecting` alone), `access`
says which cluster, `fenced` writes so that an older holder of the lease is refused. Over them stand
the two ports: `pods` the observer, `deployment` the actuator. The observer only reads; nothing here
creates or deletes.
"""
