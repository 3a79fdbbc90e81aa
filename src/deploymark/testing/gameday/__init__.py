"""Game days: a simulated fleet, faults injected on purpose, and a score of what a server found.

Written from the specification alone, over HTTP alone, so that it judges the server as a stranger
would. `plan` makes a day (pure, seeded), `player` sends it, `watch` looks at the answers while it
goes on, `score` says what was found, missed and made up. `docs/howto/game-day.md` shows how to run
one; `deploymark gameday` is its command.
"""
