"""Money: prices times usage, in whole numbers, with every step on paper."""
