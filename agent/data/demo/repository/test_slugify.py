import unittest

from slugify import slugify


class SlugifyTest(unittest.TestCase):
    def test_lower_case(self) -> None:
        self.assertEqual(slugify("Hello World"), "hello-world")

    def test_blanks_are_joined(self) -> None:
        self.assertEqual(slugify("  a   b "), "a-b")


if __name__ == "__main__":
    unittest.main()
