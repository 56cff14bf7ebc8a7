// What comes down: frames, by a request that stays open. In: how to ask the server. Out: each frame; resolves
// when the server has ended one answer, which it does with each as it grows too long. Rejects when there is no
// answer, when it is cut, or when it has nothing in it: asking again at once would go on for ever.
//
// ask(path) resolves with an answer whose status is good. heard(frame) may throw, which ends it.

const read = (lines, heard) => {
  // A stream begins with many an `h`, for browsers that show nothing of a short one.
  const frames = lines.split("\n").filter((line) => line && !line.startsWith("hh"));
  frames.forEach(heard);
  return frames.length;
};

const notNothing = (frames) => {
  if (!frames) throw "an answer without a message";
};

async function polling({ ask, heard }) {
  const answer = await ask("xhr");
  notNothing(read(await answer.text(), heard));
}

async function streaming({ ask, heard }) {
  const { body } = await ask("xhr_streaming");
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let frames = 0;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return notNothing(frames);
    const end = value.lastIndexOf("\n") + 1;
    if (end) frames += read(rest + value.slice(0, end), heard);
    rest = end ? value.slice(end) : rest + value;
  }
}

// The browser tells an answer that was cut by nothing from one that ended; the server does, to whom asks again.
const events = ({ url, credentials, signal, heard }) =>
  new Promise((ended, failed) => {
    const source = new EventSource(`${url}eventsource`, { withCredentials: credentials === "include" });
    let frames = 0;
    const stop = (settle, why) => {
      source.close();
      signal.removeEventListener("abort", aborted);
      settle(why);
    };
    const aborted = () => stop(failed);
    signal.addEventListener("abort", aborted);
    source.onmessage = ({ data }) => {
      frames++;
      try {
        heard(data.replace(/%(25|0D|0A|00)/g, decodeURIComponent));
      } catch (error) {
        stop(failed, error);
      }
    };
    source.onerror = () => (frames ? stop(ended) : stop(failed, "no stream of events"));
  });

export const RECEIVERS = { "xhr-polling": polling, "xhr-streaming": streaming, eventsource: events };
