"""A map-style Dataset of the tests."""

from torch.utils.data import Dataset


class Items(Dataset):
    """The rows of an array, one by one."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]
