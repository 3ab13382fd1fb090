"""Named public data sets: what each is, who published it under which licence, and how it arrives verified."""
