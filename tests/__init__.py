"""Laws of the package: each in one sentence, on toy data, with a witness other than the code under test."""
