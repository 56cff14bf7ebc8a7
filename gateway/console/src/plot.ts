// The last minute as a plot: how long round trips took, and over which times there was no connection.

import uPlot from "uplot";

import { duration } from "./duration";
import { find } from "./element";
import type { RoundTrip, Sample } from "./round_trip";
import type { Theme } from "./theme";

const SECONDS = 60;
const HEIGHT = 112;
/** The plot begins with this many seconds and grows to a minute. */
const FIRST_SECONDS = 15;

export class Plot {
  readonly #place = find("plot", HTMLElement);
  readonly #figures = find("round-trip", HTMLElement);
  readonly #header = find("header-time", HTMLElement);
  readonly #samples: Sample[] = [];
  readonly #plot: uPlot;
  #median = 0;

  constructor(roundTrip: RoundTrip, theme: Theme) {
    this.#plot = new uPlot(this.#options(), [[], []], this.#place);
    roundTrip.samples.listen((sample) => this.#add(sample));
    theme.changed.listen(() => this.#plot.redraw(false, true));
    new ResizeObserver(() => this.#plot.setSize({ width: this.#place.clientWidth, height: HEIGHT })).observe(this.#place);
  }

  #add(sample: Sample): void {
    this.#samples.push(sample);
    while ((this.#samples[0]?.at ?? sample.at) < sample.at - SECONDS - 2) this.#samples.shift();
    this.#say(sample);
    this.#plot.setData([this.#samples.map(({ at }) => at), this.#samples.map(({ ms }) => ms)]);
  }

  #range(): [number, number] {
    const now = Date.now() / 1_000;
    const seconds = Math.min(SECONDS, Math.max(FIRST_SECONDS, now - (this.#samples[0]?.at ?? now)));
    return [now - seconds, now];
  }

  #say({ ms }: Sample): void {
    const known = this.#samples.flatMap((sample) => (sample.ms === null ? [] : [sample.ms])).sort((a, b) => a - b);
    const median = known[Math.floor(known.length / 2)];
    const worst = known.at(-1);
    this.#median = median ?? 0;
    this.#header.textContent = ms === null ? "" : duration(ms);
    this.#figures.textContent =
      ms === null || median === undefined || worst === undefined
        ? "–"
        : `${duration(ms)} · median ${duration(median)} · worst ${duration(worst)}`;
    this.#place.setAttribute("aria-label", `Round-trip time over the last minute: ${this.#figures.textContent}`);
  }

  #options(): uPlot.Options {
    const weak = () => colour("--weak");
    const grid = { stroke: () => colour("--line"), width: 1 };
    return {
      width: this.#place.clientWidth || 280,
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => this.#range() },
        // One answer that took long must not flatten all others; the figures say how long it took.
        y: { range: (_plot, _least, most) => [0, Math.max(1, Math.min((most ?? 0) * 1.15, this.#median * 8))] },
      },
      axes: [
        { stroke: weak, grid: { show: false }, ticks: { show: false }, size: 22, font: "11px system-ui", space: 60, values: "{mm}:{ss}" },
        { stroke: weak, grid, ticks: { show: false }, size: 44, font: "11px system-ui", space: 32, values: (_plot, ticks) => ticks.map((tick) => `${tick} ms`) },
      ],
      series: [
        {},
        { stroke: () => colour("--accent"), fill: () => colour("--accent-faint"), width: 1.8, spanGaps: false, points: { show: false } },
      ],
      hooks: { drawClear: [(plot) => this.#shade(plot)] },
    };
  }

  /** Marks the times at which the connection was not ready. */
  #shade(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const end = Date.now() / 1_000;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.#samples.forEach(({ at, state }, index) => {
      if (state === "ready") return;
      const from = plot.valToPos(at, "x", true);
      const until = plot.valToPos(this.#samples[index + 1]?.at ?? end, "x", true);
      ctx.fillStyle = colour(state === "disconnected" ? "--bad-faint" : state === "connecting" ? "--wait-faint" : "--line");
      ctx.fillRect(from, bbox.top, until - from + 0.5, bbox.height);
    });
    ctx.restore();
  }
}

const probe = document.createElement("span");

/** What a colour of the style sheet is in the theme of now. */
function colour(name: string): string {
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
