# Train all runs and make results.csv and the page, from data/ alone.
set -e
