package cloud

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// imageType is the data type of parameters that hold the id of an image. Systems
// Manager then makes sure that there is such an image, and launch templates can
// refer to the parameter as resolve:ssm:NAME.
const imageType = "aws:ec2:image"

// ImageParameter returns the id of an image that a parameter of Systems Manager
// holds, or ErrNotFound when there is no such parameter.
func (c *Client) ImageParameter(ctx context.Context, name string) (string, error) {
	out, err := c.parameters().GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
	if _, missing := errors.AsType[*types.ParameterNotFound](err); missing {
		return "", fmt.Errorf("parameter %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return "", apiError("GetParameter", name, err)
	}
	return aws.ToString(out.Parameter.Value), nil
}

// PutImageParameter makes a parameter of Systems Manager hold the id of an
// image, whatever it held before.
func (c *Client) PutImageParameter(ctx context.Context, name, image string) error {
	_, err := c.parameters().PutParameter(ctx, &ssm.PutParameterInput{
		Name: &name, Value: &image, Type: types.ParameterTypeString, DataType: aws.String(imageType), Overwrite: aws.Bool(true),
	})
	return apiError("PutParameter", name, err)
}

// DeleteParameter removes a parameter of Systems Manager. One that does not
// exist is no error.
func (c *Client) DeleteParameter(ctx context.Context, name string) error {
	_, err := c.parameters().DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name})
	if _, missing := errors.AsType[*types.ParameterNotFound](err); missing {
		return nil
	}
	return apiError("DeleteParameter", name, err)
}

func (c *Client) parameters() *ssm.Client { return ssm.NewFromConfig(c.aws) }
