"""Fills moto with what a small company has, and prints what was put as lines of JSON.

seed.py URL all: everything, in two regions of two accounts.
seed.py URL put REGION NAMESPACE METRIC NAME=VALUE SECONDS NUMBER: one datum of the first account.
"""

import json
import sys
import time

import boto3

url = sys.argv[1]
OTHER = "arn:aws:iam::210987654321:role/metrics"


def client(service, region, keys):
    return boto3.client(service, endpoint_url=url, region_name=region, **keys)


def keys_of_other(keys):
    answer = client("sts", "eu-west-1", keys).assume_role(RoleArn=OTHER, RoleSessionName="seed", ExternalId="shop")
    given = answer["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def resources(account, region, keys):
    """Yields namespace, metric, dimensions and ARN of each."""
    ec2 = client("ec2", region, keys)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"web {region}"}]}]
    # More than a page of the tagging API holds, in one place.
    count = 110 if account == "123456789012" and region == "eu-west-1" else 2
    run = ec2.run_instances(ImageId="ami-12c6146b", MinCount=count, MaxCount=count, TagSpecifications=tags)
    for instance in run["Instances"]:
        name = instance["InstanceId"]
        arn = f"arn:aws:ec2:{region}:{account}:instance/{name}"
        for metric in ("CPUUtilization", "NetworkIn"):
            yield "AWS/EC2", metric, {"InstanceId": name}, arn
    client("sqs", region, keys).create_queue(QueueName="jobs", tags={"Name": "jobs"})
    arn = f"arn:aws:sqs:{region}:{account}:jobs"
    yield "AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": "jobs"}, arn
    client("rds", region, keys).create_db_instance(
        DBInstanceIdentifier="orders",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="orders",
        MasterUserPassword="a-long-password",
        Tags=[{"Key": "Name", "Value": "orders"}],
    )
    arn = f"arn:aws:rds:{region}:{account}:db:orders"
    yield "AWS/RDS", "EBSIOBalance%", {"DBInstanceIdentifier": "orders"}, arn
    yield "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", {"LoadBalancer": "app/web/50dc6c495c0c9188"}, None
    yield "AWS/Lambda", "Errors", {"FunctionName": "resize"}, None
    for index in range(1300 if account == "123456789012" and region == "eu-west-1" else 3):
        yield "Shop", "Orders", {"Shelf": str(index)}, None


def seed():
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret"}
    at = int(time.time()) - 10
    value = 0
    for account, keys in (("123456789012", keys), ("210987654321", keys_of_other(keys))):
        for region in ("eu-west-1", "us-east-2"):
            put = {}
            for namespace, metric, dimensions, arn in resources(account, region, keys):
                value += 1
                datum = {
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": each} for name, each in dimensions.items()],
                    "Timestamp": at,
                    "Value": value,
                }
                put.setdefault(namespace, []).append(datum)
                said = {"account": account, "region": region, "namespace": namespace, "metric": metric}
                print(json.dumps({**said, "dimensions": dimensions, "arn": arn, "value": value, "at": at}))
            for namespace, data in put.items():
                for start in range(0, len(data), 1000):
                    cloudwatch = client("cloudwatch", region, keys)
                    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[start : start + 1000])


def put(region, namespace, metric, dimension, at, value):
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret"}
    name, _, of = dimension.partition("=")
    datum = {"MetricName": metric, "Dimensions": [{"Name": name, "Value": of}]}
    datum.update(Timestamp=int(at), Value=float(value))
    client("cloudwatch", region, keys).put_metric_data(Namespace=namespace, MetricData=[datum])


if sys.argv[2] == "all":
    seed()
else:
    put(*sys.argv[3:])
