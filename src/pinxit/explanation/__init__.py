"""Why a classifier sees a class in a picture, and whether such an explanation can be trusted."""
