/** The face of the package, the same for every entry. */
export { TokenSocket } from "./socket.js";
export type { Events } from "./events.js";
export { TokenSocketError, type ErrorCode, type ErrorContext } from "./error.js";
export type { Subscription } from "./subscription.js";
export type { HistoryPage, Position, Published } from "./position.js";
export type { Member, Members } from "./presence.js";
export type { Delivery, DeviceSettings, ResyncReason } from "./deliveries.js";
export type { Options } from "./options.js";
export type { TransportName } from "./transports.js";
export type { Answer } from "./actions.js";
export type {
  Action,
  Actions,
  BroadcastOf,
  CallArguments,
  Callback,
  CallOptions,
  ChannelName,
  DataOf,
  DeliveryArguments,
  DeliveryName,
  DoneCallback,
  HistoryQuery,
  MessageArguments,
  MessageOf,
  Path,
  PresenceQuery,
  PublishOptions,
  ResultOf,
  SubscribeOptions,
  UntypedActions,
} from "./types.js";
export type { State } from "./wasm/connection.js";
export type { WasmSource } from "./wasm/load.js";
