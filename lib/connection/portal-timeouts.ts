/** A client's adaptive timeouts towards one target: an estimate per portal and the network's latency (guide 04 §8). */
import { Estimator, type TimeoutSettings } from '../rpc/adaptive-timeout.ts';
import type { PtlrpcBody } from '../wire/format.ts';

/** A service time beyond the whole time by more than this is not believed, seconds. */
const SERVICE_TIME_SLACK = 3;
const LATENCY_MAX = 50;

export class PortalTimeouts {
  readonly #settings: TimeoutSettings;
  readonly #estimators = new Map<number, Estimator>();
  readonly #latency: Estimator;

  constructor(settings: TimeoutSettings) {
    this.#settings = settings;
    this.#latency = new Estimator(settings, 0, 0);
  }

  /** Service estimate of the portal's service, seconds. */
  estimate(portal: number): number {
    return this.#of(portal).current;
  }

  /** Network latency, seconds. */
  get latency(): number {
    return this.#latency.current;
  }

  /** Learns from a reply that took `elapsedMs` in all. */
  measure(portal: number, body: PtlrpcBody, elapsedMs: number, nowMs: number): void {
    this.#of(portal).measure(body.pb_timeout, nowMs);
    const network = elapsedMs / 1000 - body.pb_service_time;
    if (network < -SERVICE_TIME_SLACK) return;
    this.#latency.measure(Math.min(Math.max(0, Math.floor(network)) + 1, LATENCY_MAX), nowMs);
  }

  #of(portal: number): Estimator {
    let estimator = this.#estimators.get(portal);
    if (estimator === undefined) {
      estimator = new Estimator(this.#settings, this.#settings.initialClientEstimate);
      this.#estimators.set(portal, estimator);
    }
    return estimator;
  }
}
