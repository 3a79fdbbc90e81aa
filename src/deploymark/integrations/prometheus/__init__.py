"""Counts for verdicts from a Prometheus, or from what answers as one (Thanos, Mimir).

`source.PrometheusCounts` is the `ports.CountsSource`; `client` speaks HTTP, `question` writes
PromQL, `answer` reads what comes back, `histogram` and `rising` make increases of it. Standard
library and msgspec only. Nothing here knows what a verdict is.

What is asked: the *raw* counters (never `rate`, which extrapolates and gives averages), at every
scrape interval, of the pods that `deploymark_info` says run a deployment:

    (SELECTOR) and on (namespace, pod) deploymark_info{service=…, environment=…, deployment_id=~…}
      unless on (namespace, pod) deploymark_info{…, deployment_id!~…}

`and` lets the samples of the left side through as they are, native histograms too, however many
samples the right side has for a pod. A pod that two deployments claim at one instant counts for
neither. So the id of a deployment never becomes a label of the application's series.

What is made of it, scrape by scrape, in whole numbers:

* **Reset**: a counter that shrank began anew; all of it is new. A histogram begins anew as one.
* **Gap**: missed scrapes, or a Prometheus that was away. What came meanwhile counts in the bucket
  in which it was *seen*, up to `rising.MOST_GAP_SECONDS`; after a longer gap the value is where
  counting begins again, and what came meanwhile is lost.
* **Beginning**: the first value of a pod is where counting begins, because nobody knows how old it
  is. A label set that appears later beside others of the same scrape counts in full: else the
  first error of each kind would never count. That it is the same scrape is asked (`timestamp()`),
  so that relabelled series do not count again.
* **NaN and infinite values** are no samples. Answers that are cut, partial (`warnings`), late or
  of somebody else are no answers: `CountsUnavailableError`.

What it cannot see: a process that began anew and counted beyond its old value within one scrape
interval; requests between the last scrape of a process and its end.
"""
