"""Which versions of both functions are live, and how that changes: `spillway versions`, `promote`, `rollback`.

- `pair.py`: a version of each function, the two that are live together
- `note.py`: what the aliases remember of what was live before
- `before_deploy.py`, `after_deploy.py`: what a deploy asks before it asks AWS, and once it has moved the aliases
- `told.py`: whether the functions could work with what a deploy will tell them
- `rules.py`: which pairs may follow each other on one queue, and in which order the aliases move
- `functions.py`: both functions in AWS, their aliases and versions
- `moves.py`: promote and roll back
- `listing.py`: what there is, and pruning
"""
