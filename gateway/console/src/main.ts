// The console: puts its panels together and connects.
//
//   connection ─┬─▶ connection_panel, round_trip ─▶ plot
//               ├─▶ call_form ─▶ answer_log
//               ├─▶ page_actions ─▶ called_log, toasts
//               ├─▶ sockets_panel
//               └─▶ channels_panel, publish_form, message_log

import { AnswerLog } from "./answer_log";
import { CallForm } from "./call_form";
import { CalledLog } from "./called_log";
import { ChannelsPanel } from "./channels_panel";
import { Connection } from "./connection";
import { ConnectionPanel } from "./connection_panel";
import { find } from "./element";
import { MessageLog } from "./message_log";
import { pageActions } from "./page_actions";
import { Plot } from "./plot";
import { PublishForm } from "./publish_form";
import { RoundTrip } from "./round_trip";
import { Shortcuts } from "./shortcuts";
import { SocketsPanel } from "./sockets_panel";
import { Theme } from "./theme";
import { Toasts } from "./toasts";

const theme = new Theme();
const toasts = new Toasts();
const connection = new Connection(pageActions(new CalledLog(), toasts, () => find("user", HTMLInputElement).value.trim()));
const panel = new ConnectionPanel(connection);
const form = new CallForm(connection, new AnswerLog());
const channels = new ChannelsPanel(connection);
new PublishForm(connection, channels);
const messages = new MessageLog(connection);
new SocketsPanel(connection, form);
new Plot(new RoundTrip(connection), theme);

const focus = (id: string) => () => find(id, HTMLElement).focus();
new Shortcuts([
  { key: "u", words: "Connect as another user", press: focus("user") },
  { key: "c", words: "Call an action", press: focus("action") },
  { key: "d", words: "Its data", press: focus("data") },
  { key: "s", words: "Subscribe to a channel", press: focus("channel") },
  { key: "p", words: "Publish a message", press: focus("message") },
  { key: "f", words: "Filter messages", press: focus("filter") },
  { key: "x", words: "Pause messages, and go on", press: () => messages.togglePause() },
  { key: "y", words: "Answer yes to the oldest question", press: () => toasts.answerOldest(true) },
  { key: "n", words: "Answer no to it", press: () => toasts.answerOldest(false) },
  { key: "t", words: "Change the theme", press: () => theme.next() },
]);

panel.connect();
