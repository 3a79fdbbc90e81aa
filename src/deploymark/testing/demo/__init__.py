"""The demonstration: a canary of a real service on this machine, from the first marker to its end.

`story` says what shall happen and what each step tells (pure), `stage` starts and ends everything
that it happens on, `watching` follows a rollout over HTTP, `proof` checks afterwards that all of
it holds, and `play` does one after the other. `deploymark demo` is its command. It bypasses
nothing: plan, judge, guards, observer and actuator are those of everybody.
"""
