"""Workers elsewhere, in this process: work, items and results travel as they do to a cluster, some items ahead."""

import pickle
from itertools import islice


class PostedWork:
    are_elsewhere = True

    def map(self, work, items):
        there = posted(work.elsewhere())(1)
        items = iter(items)
        while ahead := [posted(item) for item in islice(items, 3)]:
            for item in ahead:
                yield posted(there(item))


def posted(thing):
    return pickle.loads(pickle.dumps(thing))
