"""The answers to the exercises that are worked out by hand, with the mistakes that lead to other numbers.

`companion.classroom.answers` compares with them. They stand here, and not in the learner notebooks, so that nobody
reads one by accident. The solutions in the book show how the numbers come about.
"""

from typing import NamedTuple

Values = tuple[int | float, ...]


class Answer(NamedTuple):
    """What an exercise asks for: the right numbers, and a sentence for every mistake by the numbers that it gives.

    `asked` says in words what to enter. Two numbers are equal if they differ by no more than `tolerance`.
    """

    asked: str
    right: Values
    mistakes: dict[Values, str]
    tolerance: float = 0.006  # numbers with two digits


ANSWERS = {
    "ex-average-by-hand": Answer(
        "the context",
        (17.61,),
        {
            (23.33,): "This is the plain average: the query plays no part in it.",
            (24.41,): "The exponentials were not divided by their sum, so the weights do not sum to one.",
            (38.26,): "The scores lack their minus sign: the key that is farthest away got the largest weight.",
            (19.35,): "The distances were not squared.",
        },
        0.02,
    ),
    "ex-average-twins": Answer(
        "the context",
        (46,),
        {
            (92,): "The weights do not sum to one.",
            (2,): "Both keys are equally near, so neither value is chosen alone.",
            (90,): "Both keys are equally near, so neither value is chosen alone.",
        },
    ),
    "ex-dot-by-hand": Answer(
        "the context, scaled",
        (4.78,),
        {
            (4.48,): "This is the context without the scale.",
            (5.08,): "The scores were divided by the number of channels, not by its root.",
            (7.22,): "The two weights are exchanged: key 1 has the larger score.",
        },
    ),
    "ex-additive-by-hand": Answer(
        "the weight of place 6",
        (0.65,),
        {
            (0.71,): "The sum of the exponentials lacks the other three places.",
            (0.56,): "The scores were divided by their sum; their exponentials are what the softmax divides.",
            (0.54,): "This is the weight for the query 5, with a neighbour on both sides.",
        },
    ),
    "ex-heads-by-hand": Answer(
        "the context with two heads, two numbers",
        (7, 4),
        {
            (6, 3): "This is the context with one head: each head needs weights of its own.",
            (5, 2): "In both heads the two weights are exchanged.",
        },
    ),
    "ex-self-by-hand": Answer(
        'the weights of "of", three numbers',
        (3 / 7, 1 / 7, 3 / 7),
        {
            (1 / 5, 3 / 5, 1 / 5): 'These are the weights of "star", which looks for a relation.',
            (3, 1, 3): "These are the exponentials, not yet divided by their sum.",
            (1 / 3, 1 / 3, 1 / 3): "The scores of the three words are not all equal.",
        },
    ),
    "ex-masks-by-hand": Answer(
        "the sum of the second row",
        (0.4,),
        {
            (1,): "A row sums to one if the mask comes before the softmax.",
            (0.6,): "This is the weight that the mask removes.",
            (4,): "These are the exponentials that remain, not the weights.",
        },
    ),
    "ex-article-third": Answer(
        "the context for one head, two numbers",
        (18.88, 25.78),
        {
            (16.58, 25.32): "The scores were not divided by the root of the number of channels.",
            (20.82, 26.16): "The scores were divided by the number of channels, not by its root.",
            (23.33, 26.67): "This is the plain average of the values.",
            (23.33, 25.54): "This is the context for two heads.",
        },
        0.03,
    ),
    "ex-grids-by-hand": Answer(
        "the places on a side of the grid, the step and the field, three numbers",
        (4, 16, 78),
        {
            (4, 16, 46): "This is the field behind the inserted layer: the last layer widens it once more.",
            (4, 16, 62): "The last layer now counts in steps of 16 pixels.",
            (8, 8, 38): "This is the network without the fourth layer.",
        },
    ),
    "ex-words-by-hand": Answer(
        "the ids of the encoded caption, a list",
        (1, 5, 4, 3, 3, 3, 2),
        {
            (5, 4, 3, 3, 3): "The tokens for start and end are missing.",
            (
                1,
                4,
                5,
                3,
                3,
                3,
                2,
            ): "The ids of the words are in alphabetical order, not in that of the captions.",
            (1, 5, 4, 2): "Unknown words are not left out: each has a token.",
        },
    ),
    "ex-11-clip": Answer(
        "the entries that 6 and 8 become, two numbers",
        (3, 4),
        {
            (5, 5): "Each entry was clipped by itself; the norm of both is what is limited.",
            (6, 8): "The norm of this gradient is above 5.",
            (1, 3): "Clipping does not subtract: it keeps the direction.",
        },
    ),
    "ex-decoding-miss": Answer(
        "the probabilities of the caption that the beam finds, and of the most probable one",
        (0.147, 0.208),
        {
            (0.208, 0.208): "The beam of width 2 drops *dogs run*, although it is the most probable in the end.",
            (0.208, 0.147): "The two are exchanged.",
        },
        0.0006,
    ),
    "ex-scoring-hand": Answer(
        "BLEU-1",
        (0.667,),
        {
            (0.9,): "This is the precision alone: the candidates are now shorter than the references.",
            (0.692,): "The matches were divided by the length of the references.",
            (0.682,): "This is the value before the change.",
        },
        0.002,
    ),
    "ex-14-by-hand": Answer(
        "the mass and its chance level, two numbers",
        (0.25, 0.25),
        {
            (1, 1): "This is pointing and its chance level: any peak would hit.",
            (1, 0.25): "The mass weighs each cell by the share of it that the object covers, here a quarter.",
        },
    ),
    "ex-15-sentinel": Answer(
        "the weight of each place",
        (0.25,),
        {
            (0.33,): "The sentinel was counted like a place with the score 0.",
            (0.37,): "The score of the sentinel was not put into the exponential.",
            (0.5,): "The sentinel takes part in the softmax, so the places do not share all of the weight.",
        },
    ),
    "ex-16-advantage": Answer(
        "the three advantages",
        (3, -1.5, -1.5),
        {
            (2, -1, -1): "The baseline of a caption is the mean of the *others*, without its own reward.",
            (-3, 1.5, 1.5): "The sign is wrong: a reward above the baseline gives a positive advantage.",
            (3, 0, 0): "These are the rewards, without a baseline.",
        },
    ),
    "ex-repair-size": Answer(
        "the weights of `Dense(512)`",
        (6_423_040,),
        {
            (6_422_528,): "The biases are missing, one for each of the 512 outputs.",
            (12_544,): "These are the inputs of the layer.",
            (100_864,): "The 64 channels of each place are missing.",
        },
    ),
    "ex-editing-hand": Answer(
        "the IoU for the thresholds 0.3 and 0.5, two numbers",
        (2 / 3, 1 / 2),
        {
            (0.5, 0.5): "A threshold counts relative to the largest weight of the map.",
            (1, 1 / 2): "The pixels of the mask that the object lacks belong to the union.",
            (2 / 3, 1): "The pixels of the object that the mask lacks belong to the union.",
        },
    ),
    "ex-moderation-matrix": Answer(
        "precision, recall, false alarm rate and accuracy, four numbers",
        (0.25, 0.75, 0.046, 0.95),
        {
            (0.75, 0.25, 0.046, 0.95): "Precision and recall are exchanged.",
            (0.25, 0.75, 0.75, 0.95): "The false alarm rate is a share of the good pictures, not of the reports.",
            (0.25, 0.75, 0.045, 0.95): "The false alarm rate is a share of the good pictures, not of all pictures.",
        },
        0.0005,
    ),
    "ex-search-hand": Answer(
        "the score of caption 5",
        (1.328,),
        {
            (1.299,): "This is the inverse document frequency alone, or the score without the length of the caption.",
            (0.577,): "The logarithm is the natural one, not that to the base 10.",
        },
        0.002,
    ),
    "ex-world-true": Answer(
        "for each of the four captions whether it is true: True or False",
        (1, 1, 0, 1),
        {
            (1, 0, 0, 1): "The phrases of the second caption are alike: either triangle can be either of them.",
            (1, 0, 1, 1): "The only small triangle is the lower one, and the phrases of the second caption are alike.",
            (1, 1, 1, 1): "The only small triangle is the lower one.",
            (1, 1, 0, 0): "The last caption says nothing that the scene does not have.",
        },
    ),
    "ex-memories-pointer": Answer(
        "the probability of *cup*",
        (0.46,),
        {
            (0.64,): "This is the probability without the second tag: its pointer raises the logit of *dog*.",
            (0.76,): "The pointer is added to the logit of *dog*; it does not replace it.",
        },
    ),
    "ex-own-interval": Answer(
        "the number of pictures for an interval of plus or minus 5 points",
        (384,),
        {
            (96,): "This many give plus or minus 10 points.",
            (1537,): "This many give an interval that is 5 points wide, from end to end.",
            (20,): "The standard deviation falls with the root of the number of pictures.",
        },
        17.0,  # whoever takes two standard deviations for 1.96 is right, too
    ),
    "ex-patches-score": Answer(
        "the score of the blank place, and that of the register",
        (8.74, 8.75),
        {
            (8.75, 8.74): "The two are exchanged: beside a register there is one place more.",
            (4.6, 4.6): "All the other places have a share, not one of them.",
            (4.14, 4.16): "With this score the context is one half.",
            (8.74, 8.74): "The register stands beside all 64 places; the blank place is one of them.",
        },
    ),
    "ex-vl-share": Answer(
        "the share of the picture with 64 places, and with four queries",
        (0.865, 0.286),
        {
            (0.877, 0.308): "The tenth word also reads itself.",
            (0.135, 0.714): "This is the share of the words.",
            (0.286, 0.865): "The two are exchanged.",
        },
        0.002,
    ),
    "ex-real-time-row": Answer(
        "the exponent and the three integers, four numbers",
        (-5, 64, -19, 3),
        {
            (-6, 128, -38, 6): "An integer of int8 is at most 127, and the scale must not be smaller than 2 / 127.",
            (-4, 32, -10, 2): "There is a smaller power of two that is large enough.",
            (5, 64, -19, 3): "The scale is smaller than one, so the exponent is negative.",
            (-5, 64, 19, 3): "Signs stay.",
        },
    ),
    "ex-real-time-percentile": Answer(
        "p95 of the ten captions, in milliseconds",
        (25.6,),
        {
            (40,): "This is the largest value: NumPy interpolates between two.",
            (24,): "Between ten values there are nine steps: the position is 95 % of nine, not of ten.",
            (8,): "The position is rounded down: NumPy interpolates between two values.",
            (9.5,): "This is the mean.",
        },
    ),
    "ex-cost-by-hand": Answer(
        "the factor for the table, for the window, and for linear attention, three numbers",
        (16, 4, 4),
        {
            (4, 4, 4): "The table has an entry for every pair of places.",
            (4, 2, 2): "Twice as many places on a side are four times as many places.",
            (16, 16, 4): "The window of a place does not grow with the picture.",
            (16, 4, 16): "Linear attention never compares two places with each other.",
        },
    ),
    "ex-data-limit": Answer(
        "the limit with seven wrong colours, and with one",
        (7 / 8, 1 / 2),
        {
            (1 / 2, 1 / 2): "Each of seven wrong colours has a seventh of the mistakes.",
            (7 / 8, 7 / 8): "The only wrong colour has all of the mistakes.",
            (1 / 8, 1 / 2): "This is the share of right colours at the limit.",
            (6 / 7, 1 / 2): "The right colour has what the wrong ones leave, and not always one.",
        },
    ),
    "ex-explanation-by-hand": Answer(
        "integrated gradients, two numbers",
        (3, 3),
        {
            (6, 6): "This is occlusion, and also gradient times difference.",
            (3, 2): "This is the gradient at the end of the path.",
            (1.5, 1): "The mean gradient is multiplied by the difference of the inputs.",
            (2, 3): "This is the difference of the inputs.",
        },
    ),
    "ex-belief-auc": Answer(
        "the AUC of the signal, and that of a constant one",
        (0.875, 0.5),
        {
            (0.75, 0): "A tie counts one half, not nothing.",
            (1, 1): "A tie counts one half, not one.",
            (0.875, 0): "With a constant signal every pair is a tie.",
            (0.125, 0.5): "A true caption should have the larger signal.",
        },
    ),
}
