"""The queues, the mapping that feeds the worker from them, the tick, and the state table."""

import json
import re

import worker_fn.settings
from tests.integration.infra.templates import QUEUES, Package, Template, of_type, resolved

FOURTEEN_DAYS_S = 14 * 24 * 3600


def test_queues_are_encrypted_and_keep_messages_14_days(any_stage: Template) -> None:
    """All three queues are encrypted and keep messages for 14 days, SQS's maximum."""
    queues = of_type(any_stage, "AWS::SQS::Queue")
    assert set(queues) == QUEUES
    for properties in queues.values():
        assert properties["SqsManagedSseEnabled"] is True
        assert properties["MessageRetentionPeriod"] == FOURTEEN_DAYS_S


def test_every_queue_takes_sqss_largest_message(any_stage: Template) -> None:
    """Each queue takes 1 MiB, so a message that one queue took fits into the others."""
    assert {one["MaximumMessageSize"] for one in of_type(any_stage, "AWS::SQS::Queue").values()} == {1_048_576}


def test_each_incident_with_dead_letters_is_told(any_stage: Template) -> None:
    """One alarm counts letters that arrive, whatever is in the queue already; another sees letters that SQS itself
    moved.
    """
    alarms = of_type(any_stage, "AWS::CloudWatch::Alarm")
    arrive, lie = alarms["DeadLetterAlarm"], alarms["DeadLettersLieAlarm"]
    assert (arrive["MetricName"], arrive["Statistic"]) == ("NumberOfMessagesSent", "Sum")
    assert (lie["MetricName"], lie["Statistic"]) == ("ApproximateNumberOfMessagesVisible", "Minimum")
    for alarm in (arrive, lie):
        assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetterQueue", "QueueName"]}}]
        assert (alarm["Threshold"], alarm["TreatMissingData"]) == (0, "notBreaching")
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_only_a_thousand_receives_send_a_message_to_the_dead_letter_queue(any_stage: Template) -> None:
    """SQS dead-letters only at its maximum of 1,000 receives, into a queue that accepts no other queue's dead
    letters.
    """
    queues = of_type(any_stage, "AWS::SQS::Queue")
    redrive = queues["Queue"]["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 1000}
    allow = queues["DeadLetterQueue"]["RedriveAllowPolicy"]
    assert allow["redrivePermission"] == "byQueue"
    (source,) = allow["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(f":{queues['Queue']['QueueName']}")


def test_a_message_stays_invisible_for_six_timeouts_and_the_window(any_stage: Template) -> None:
    """The visibility timeout keeps AWS's rule, so a message is not handed out again while a worker has it."""
    worker = of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]
    (mapping,) = of_type(any_stage, "AWS::Lambda::EventSourceMapping").values()
    visibility = of_type(any_stage, "AWS::SQS::Queue")["Queue"]["VisibilityTimeout"]
    assert visibility >= 6 * worker["Timeout"] + mapping.get("MaximumBatchingWindowInSeconds", 0)


def test_queues_are_standard_unless_told_otherwise(template: Template, package: Package) -> None:
    """A standard queue has no property of a FIFO queue, not even one set to false, because CloudFormation
    refuses it.
    """
    queues = of_type(template, "AWS::SQS::Queue")
    assert of_type(package(QUEUE_TYPE="standard"), "AWS::SQS::Queue") == queues
    for properties in queues.values():
        assert not [name for name in properties if re.search("(?i)fifo|deduplication", name)]
        assert not properties["QueueName"].endswith(".fifo")


def test_fifo_queues_are_fifo_all_three(fifo: Template, template: Template) -> None:
    """All three queues are FIFO with high throughput, and content-based deduplication is off."""
    for logical_id, properties in of_type(fifo, "AWS::SQS::Queue").items():
        standard = of_type(template, "AWS::SQS::Queue")[logical_id]
        assert properties["QueueName"] == f"{standard['QueueName']}.fifo"
        assert {name: properties[name] for name in set(properties) - set(standard)} == {
            "FifoQueue": True,
            "ContentBasedDeduplication": False,
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        }


def test_a_fifo_queue_is_read_in_tens_without_a_window(package: Package) -> None:
    """Batches of a FIFO queue have ten messages and no window, Lambda's limits, whatever is set for a standard
    queue.
    """
    (mapping,) = of_type(
        package(QUEUE_TYPE="fifo", BATCH_SIZE="100", BATCH_WINDOW_S="5"), "AWS::Lambda::EventSourceMapping"
    ).values()
    assert mapping["BatchSize"] == 10
    assert "MaximumBatchingWindowInSeconds" not in mapping


def test_the_type_of_the_queues_changes_nothing_else(fifo: Template, template: Template) -> None:
    """Roles, rule and table stay the same, both functions have the type as a variable, and a deploy publishes new
    versions.
    """
    versions = "AWS::Lambda::Version"
    same = {
        logical_id
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] != versions and fifo["Resources"][logical_id] == resource
    }
    changed = {
        *QUEUES, "WorkerEventSourceMappingSQSQueue", "IngestLambdaFunction", "WorkerLambdaFunction",
        "IngestProductionAlias", "WorkerProductionAlias",
    }  # fmt: skip
    others = {logical_id for logical_id, resource in template["Resources"].items() if resource["Type"] != versions}
    assert others - same == changed
    for stage, queue_type in ((template, "standard"), (fifo, "fifo")):
        for properties in of_type(stage, "AWS::Lambda::Function").values():
            assert properties["Environment"]["Variables"]["QUEUE_TYPE"] == queue_type
    # A changed reference alone would leave the alias on a version that sends to queues of the other type.
    assert not set(of_type(template, versions)) & set(of_type(fifo, versions))


def test_the_state_table_is_on_demand_encrypted_and_forgets(any_stage: Template) -> None:
    """The key is pk and sk, items expire at `expires_at`, and the capacity is on demand."""
    (table,) = of_type(any_stage, "AWS::DynamoDB::Table").values()
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} == {"pk": "HASH", "sk": "RANGE"}


def test_a_tick_a_minute_invokes_the_live_worker(any_stage: Template) -> None:
    """The rule invokes the alias, which a held deploy does not move, and names the mapping that the tick controls."""
    (rule,) = of_type(any_stage, "AWS::Events::Rule").values()
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Ref": "WorkerProductionAlias"}
    payload = re.sub(r"\$\{(\w+)\}", r"\1", target["Input"]["Fn::Sub"])
    assert json.loads(payload) == {"tick": {"mapping_id": any_stage["Outputs"]["WorkerMappingId"]["Value"]["Ref"]}}


def test_a_tick_that_fails_is_not_repeated(template: Template) -> None:
    """Neither EventBridge nor Lambda retries a tick: the next one is due soon, and late ones would pile up."""
    ((_, rule),) = of_type(template, "AWS::Events::Rule").items()
    assert rule["Targets"][0]["RetryPolicy"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    (invocation,) = of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    alias = of_type(template, "AWS::Lambda::Alias")["WorkerProductionAlias"]
    assert (invocation["FunctionName"], invocation["Qualifier"]) == (alias["FunctionName"], alias["Name"])
    assert (invocation["MaximumRetryAttempts"], invocation["MaximumEventAgeInSeconds"]) == (0, 60)
    assert {"WorkerTickPolicy", "WorkerTickInvocation"} == set(template["Resources"]["Tick"]["DependsOn"])


def test_the_mapping_feeds_the_alias_and_reports_failures_by_message(template: Template) -> None:
    """A held deploy must not change the live worker, and one bad message must not bring its batch back."""
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    worker_arn = {"Fn::GetAtt": ["WorkerLambdaFunction", "Arn"]}
    assert mapping["FunctionName"] == {"Fn::Join": [":", [worker_arn, "production"]]}
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 2 <= mapping["ScalingConfig"]["MaximumConcurrency"] <= 1000
    # Lambda's rule: more than ten messages need a window.
    assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] >= 1


def test_ages_fit_the_retention_of_the_queues(any_stage: Template) -> None:
    """A message that is hidden when its time ends is received once more before the queue deletes it."""
    variables = resolved(
        of_type(any_stage, "AWS::Lambda::Function")["WorkerLambdaFunction"]["Environment"]["Variables"]
    )
    settings = worker_fn.settings.Settings.from_env(variables)
    retention_s = of_type(any_stage, "AWS::SQS::Queue")["Queue"]["MessageRetentionPeriod"]
    for age_s in (settings.max_age_s, settings.erasure_max_age_s):
        assert age_s + worker_fn.settings.VISIBILITY_MARGIN_S <= retention_s
