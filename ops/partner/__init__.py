"""`spillway partner`: a new partner from a template, and the checks that say whether a partner keeps its promises."""
