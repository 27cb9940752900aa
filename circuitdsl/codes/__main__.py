"""`python -m circuitdsl.codes > docs/errors.md`"""

from circuitdsl.codes.page import page

if __name__ == "__main__":
    print(page(), end="")
