"use strict";

// Stands in for the `restjs` that token-sockjs-client names as a git
// dependency. In: what that client passes to `request`. Out: one callback, with
// an error when no answer came, else with the answer whatever its status, since
// the client reads the error out of the body. Knows nothing of tokens.

const transports = { http: require("node:http"), https: require("node:https") };

/** One HTTP or HTTPS client; `protocol` is `"http"` (default) or `"https"`. */
class Rest {
  constructor({ protocol = "http" } = {}) {
    if (!(protocol in transports)) {
      throw new TypeError(`protocol must be http or https, not ${protocol}`);
    }
    this.transport = transports[protocol];
  }

  /**
   * Sends one request.
   * @param {{method?: string, host: string, port: number, path: string, headers?: object}} options
   * @param {unknown} data JSON body, or null for none
   * @param {(error: Error | null, answer?: {status: number, headers: object, body: string}) => void} callback
   */
  request({ method = "GET", host, port, path, headers = {} }, data, callback) {
    const body = data == null ? undefined : JSON.stringify(data);
    const contentType = body === undefined ? {} : { "content-type": "application/json" };
    // No agent: a kept-alive connection would hide a server that has restarted.
    const target = { method, host, port, path, headers: { ...contentType, ...headers }, agent: false };
    const request = this.transport.request(target, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", callback);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        callback(null, { status: response.statusCode, headers: response.headers, body: text });
      });
    });
    request.on("error", callback);
    request.end(body);
  }
}

module.exports = { Rest };
